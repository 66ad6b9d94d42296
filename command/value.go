package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/foreman-go/foreman"
)

// subject is what the placeholders stand for: one attempt at a job.
type subject struct {
	id      string
	attempt int
	spec    *foreman.Spec
}

// render puts the values of an attempt in place of the placeholders. The error says which
// one has none.
func (t template) render(s subject) (string, error) {
	var b strings.Builder
	for i := range t {
		v, err := t[i].value(s)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func (p *part) value(s subject) (string, error) {
	switch p.root {
	case "":
		return p.literal, nil
	case "ID":
		return s.id, nil
	case "Attempt":
		return strconv.Itoa(s.attempt), nil
	case "Model":
		return s.spec.Model, nil
	case "Labels":
		v, ok := s.spec.Labels[p.path[0]]
		if !ok {
			return "", fmt.Errorf("%s: the job has no label %q", p, p.path[0])
		}
		return v, nil
	}
	v, err := lookUp(s.spec.Input, p.path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p, err)
	}
	return v, nil
}

// lookUp finds a value in a JSON text and gives it the form that it has in an argument.
// Only what the path leads through is taken apart, so that numbers, and the order of
// members, stay as they were sent.
func lookUp(input json.RawMessage, path []string) (string, error) {
	at := "the input"
	for _, name := range path {
		next, ok, err := member(input, name)
		if err != nil {
			return "", fmt.Errorf("%s %w", at, err)
		}
		if !ok {
			return "", fmt.Errorf("%s has no %q", at, name)
		}
		input, at = next, "the "+name+" of the input"
	}
	switch kind(input) {
	case 0:
		return "", fmt.Errorf("%s is empty", at)
	case 'n':
		return "", fmt.Errorf("%s is null", at)
	case '"':
		var text string
		if err := json.Unmarshal(input, &text); err != nil {
			return "", fmt.Errorf("%s is not JSON: %w", at, err)
		}
		return text, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, input); err != nil {
		return "", fmt.Errorf("%s is not JSON: %w", at, err)
	}
	return b.String(), nil
}

// member is the member of an object, or the element of an array, that has a name.
func member(v json.RawMessage, name string) (_ json.RawMessage, ok bool, err error) {
	switch kind(v) {
	case '{':
		var members map[string]json.RawMessage
		if err := json.Unmarshal(v, &members); err != nil {
			return nil, false, fmt.Errorf("is not JSON: %w", err)
		}
		m, ok := members[name]
		return m, ok, nil
	case '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(v, &elements); err != nil {
			return nil, false, fmt.Errorf("is not JSON: %w", err)
		}
		i, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(i) != name || i < 0 || i >= len(elements) {
			return nil, false, nil
		}
		return elements[i], true, nil
	}
	return nil, false, fmt.Errorf("has no fields, and so no %q", name)
}

// kind is the first character of a JSON text, which says what it is; 0 if there is none.
func kind(v json.RawMessage) byte {
	v = bytes.TrimLeft(v, " \t\r\n")
	if len(v) == 0 {
		return 0
	}
	return v[0]
}
