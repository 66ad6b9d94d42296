package command

import "github.com/foreman-go/foreman"

// Render gives templates of arguments the values of a job, as Run does.
func Render(args []string, id string, attempt int, spec *foreman.Spec) ([]string, error) {
	parsed, err := parseArgs(args)
	if err != nil {
		return nil, err
	}
	return (&Backend{args: parsed}).arguments(subject{id, attempt, spec})
}

// LookUp is what a placeholder for a part of the input stands for.
var LookUp = lookUp

// HeadTail is what is kept of a log that is written in pieces.
func HeadTail(most int, pieces ...[]byte) []byte {
	h := &headTail{most: most}
	for _, p := range pieces {
		_, _ = h.Write(p)
	}
	return h.bytes()
}

// LastLine is the part of a log that becomes a part of a message.
var LastLine = lastLine
