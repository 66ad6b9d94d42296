package ollama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The calls that a job can be.
const (
	chatPath     = "/api/chat"
	generatePath = "/api/generate"
	embedPath    = "/api/embed"
)

// call is the request that the input of a job stands for.
type call struct {
	path string
	body []byte
}

// newCall finds out what an input asks for. The body is the input, byte for byte; if
// it names no model, the job's is put in front of what it has.
//
// Names are compared as Ollama compares them, without regard to case: whatever Ollama
// would take for the model must be the one that the job waited for.
func newCall(input []byte, model string) (*call, error) {
	o, err := parseObject(input)
	if err != nil {
		return nil, errors.New(`the input must be a JSON object, such as a body for /api/chat: {"messages":[{"role":"user","content":"..."}]}`)
	}
	c := &call{body: input}
	var named, messages, prompt, texts bool
	for _, m := range o {
		switch {
		case strings.EqualFold(m.name, "model"):
			var s *string
			if json.Unmarshal(m.value, &s) != nil || s == nil || *s != model {
				return nil, fmt.Errorf("the input is for another model than the job, which is for %q: leave model out of the input, or make it the same", model)
			}
			named = true
		case strings.EqualFold(m.name, "messages"):
			messages = true
		case strings.EqualFold(m.name, "prompt"):
			prompt = true
		case strings.EqualFold(m.name, "input"):
			texts = true
		}
	}
	switch {
	case messages:
		c.path = chatPath
	case texts && !prompt:
		c.path = embedPath
	default:
		c.path = generatePath
	}
	if !named {
		c.body = withModel(input, model, len(o) > 0)
	}
	return c, nil
}

// withModel puts a model in front of the members of an object.
func withModel(input []byte, model string, members bool) []byte {
	at := bytes.IndexByte(input, '{') + 1
	first := append([]byte(`"model":`), quote(model)...)
	if members {
		first = append(first, ',')
	}
	return slices.Concat(input[:at], first, input[at:])
}
