package ollama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// call is the request that the input of a job stands for.
type call struct {
	path string
	body []byte
}

// newCall finds out what an input asks for: a body, or an envelope with one. The body is
// sent byte for byte; if it names no model, the job's is put in front of what it has.
//
// Names are compared as Ollama compares them, without regard to case: whatever Ollama
// would take for the model must be the one that the job waited for.
func newCall(input []byte, model string, api API) (*call, error) {
	o, err := parseObject(input)
	if err != nil {
		return nil, errors.New(`the input must be a JSON object, such as a body for /api/chat: {"messages":[{"role":"user","content":"..."}]}`)
	}
	path, body, err := openEnvelope(o)
	if err != nil {
		return nil, err
	}
	if path == "" {
		body = input
	} else if o, err = parseObject(body); err != nil {
		return nil, errors.New("the body of the envelope must be a JSON object")
	}
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
	if path == "" {
		path = api.pathOf(messages, prompt, texts)
	}
	if api == OpenAIAPI && !onV1(path) {
		return nil, fmt.Errorf("the server of the model has no %s: use a path of /v1", path)
	}
	c := &call{path: path, body: inOnePiece(path, o, body)}
	if !named {
		c.body = withModel(c.body, model)
	}
	return c, nil
}

// openEnvelope takes an envelope apart, {"path": ..., "body": ...}: an object with
// these two members and no others. The path is empty if it is none. What has one of
// them, and nothing that a body for a model has, is meant to be one.
func openEnvelope(o object) (path string, body []byte, err error) {
	at, in := o.find("path"), o.find("body")
	if at < 0 && in < 0 {
		return "", nil, nil
	}
	for _, name := range []string{"messages", "prompt", "input"} {
		if slices.ContainsFunc(o, func(m member) bool { return strings.EqualFold(m.name, name) }) {
			return "", nil, nil
		}
	}
	if at < 0 || in < 0 || len(o) != 2 {
		return "", nil, errors.New(`an envelope must have the members path and body and no others: {"path":"/v1/chat/completions","body":{...}}`)
	}
	if json.Unmarshal(o[at].value, &path) != nil || routeOf(path).kind != generation {
		return "", nil, fmt.Errorf("the path of an envelope must be one of %s", strings.Join([]string{
			chatPath, generatePath, embedPath, embeddingsPath,
			chatCompletionsPath, completionsPath, v1EmbeddingsPath, responsesPath, messagesPath,
		}, ", "))
	}
	return path, o[in].value, nil
}

// inOnePiece is a body of which the answer is not streamed, where nothing puts the events
// of a stream together again.
func inOnePiece(path string, o object, body []byte) []byte {
	if path != responsesPath && path != messagesPath {
		return body
	}
	streams := func(m member) bool { return strings.EqualFold(m.name, "stream") }
	if !slices.ContainsFunc(o, streams) {
		return body
	}
	return slices.DeleteFunc(slices.Clone(o), streams).bytes()
}

// withModel puts a model in front of the members of an object.
func withModel(input []byte, model string) []byte {
	at := bytes.IndexByte(input, '{') + 1
	first := append([]byte(`"model":`), quote(model)...)
	if input[space(input, at)] != '}' {
		first = append(first, ',')
	}
	return slices.Concat(input[:at], first, input[at:])
}
