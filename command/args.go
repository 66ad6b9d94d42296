package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/foreman-go/foreman"
)

// argument is the template of one argument of the program.
type argument struct {
	template
	// guarded says that it begins with what the job says, where the program still looks
	// for options.
	guarded bool
}

// parseArgs reads the templates of the arguments, and finds those that a job could make
// into an option.
func parseArgs(args []string) ([]argument, error) {
	var out []argument
	options := true // the program still looks for options
	for i, text := range args {
		t, err := parseTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		for _, p := range t {
			if strings.ContainsRune(p.literal, 0) {
				return nil, fmt.Errorf("argument %d has a NUL byte, which no argument can have", i+1)
			}
		}
		out = append(out, argument{t, options && len(t) > 0 && t[0].root != ""})
		options = options && (len(t) != 1 || t[0].literal != "--")
	}
	return out, nil
}

// render is the argument for an attempt.
func (a *argument) render(s subject) (string, error) {
	v, err := a.template.render(s)
	switch {
	case err != nil:
		return "", err
	case strings.ContainsRune(v, 0):
		return "", errors.New("it would have a NUL byte, which no argument can have")
	case a.guarded && strings.HasPrefix(v, "-"):
		return "", fmt.Errorf("%s must not begin with %q, since the program would take it for an option", a.template[0].String(), "-")
	}
	return v, nil
}

// arguments are those of the program for an attempt. What is wrong with them is the job's
// fault, and permanent.
func (b *Backend) arguments(s subject) ([]string, error) {
	out := make([]string, 0, len(b.args))
	for i := range b.args {
		v, err := b.args[i].render(s)
		if err != nil {
			return nil, foreman.Permanent(fmt.Errorf("argument %d of the program: %w", i+1, err))
		}
		out = append(out, v)
	}
	return out, nil
}

// input is what the program reads, and nil for nothing.
func (b *Backend) input(s subject) ([]byte, error) {
	switch {
	case b.o.NoStdin:
		return nil, nil
	case b.o.Stdin == "":
		return s.spec.Input, nil
	}
	text, err := b.stdin.render(s)
	if err != nil {
		return nil, foreman.Permanent(fmt.Errorf("the standard input of the program: %w", err))
	}
	return []byte(text), nil
}
