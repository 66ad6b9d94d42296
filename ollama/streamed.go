package ollama

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// streamed puts the events of a streamed completion together.
type streamed struct {
	first   object // the first event
	usage   json.RawMessage
	choices map[int]*choice
}

// choice is one of the answers that were asked for; mostly there is one.
type choice struct {
	finish  json.RawMessage // null as long as there is no reason
	text    strings.Builder // of completions
	message object          // of chat/completions: what the deltas say together
	texts   map[string]*strings.Builder
	calls   map[int]*toolCall
	logs    map[string][]json.RawMessage // of logprobs, lists put together
}

// toolCall is a call that comes in pieces: its arguments are a text.
type toolCall struct {
	rest      object // id and type
	name      string
	arguments strings.Builder
}

// add adds an event, and returns what has been generated since the last one.
func (a *streamed) add(data []byte) (string, error) {
	if text := said(data); text != "" {
		return "", saidSo(text)
	}
	o, err := parseObject(data)
	if err != nil {
		return "", incomplete("the model server sent an event that is %w", err)
	}
	var e struct {
		Usage   json.RawMessage
		Choices []struct {
			Index        int
			Text         string
			Delta        json.RawMessage
			Logprobs     json.RawMessage
			FinishReason json.RawMessage `json:"finish_reason"`
		}
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return "", incomplete("the model server sent an event that is not one: %w", err)
	}
	if a.first == nil {
		a.first, a.choices = o, map[int]*choice{}
	}
	if !null(e.Usage) {
		a.usage = e.Usage
	}
	var text strings.Builder
	for _, part := range e.Choices {
		c := a.choices[part.Index]
		if c == nil {
			c = &choice{texts: map[string]*strings.Builder{}, calls: map[int]*toolCall{}, logs: map[string][]json.RawMessage{}}
			a.choices[part.Index] = c
		}
		if !null(part.FinishReason) {
			c.finish = part.FinishReason
		}
		c.text.WriteString(part.Text)
		text.WriteString(part.Text)
		c.addLogs(part.Logprobs)
		text.WriteString(c.addDelta(part.Delta))
	}
	return text.String(), nil
}

// addDelta adds to a message what an event says of it: texts to texts, calls to calls,
// and whatever else there is in place of what there was.
func (c *choice) addDelta(delta json.RawMessage) (text string) {
	o, err := parseObject(delta)
	if err != nil {
		return ""
	}
	for _, m := range o {
		switch m.name {
		case "content", "reasoning", "reasoning_content", "refusal":
			var s *string
			if json.Unmarshal(m.value, &s) != nil || s == nil {
				continue
			}
			b := c.texts[m.name]
			if b == nil {
				b = &strings.Builder{}
				c.texts[m.name] = b
				c.message.set(m.name, nil, "")
			}
			b.WriteString(*s)
			text += *s
		case "tool_calls":
			if c.addCalls(m.value) {
				c.message.set(m.name, nil, "")
			}
		default:
			c.message.set(m.name, m.value, "")
		}
	}
	return text
}

// addCalls reports whether there are any.
func (c *choice) addCalls(value json.RawMessage) bool {
	var parts []struct {
		Index    int
		ID, Type json.RawMessage
		Function struct{ Name, Arguments string }
	}
	if json.Unmarshal(value, &parts) != nil {
		return false
	}
	for _, p := range parts {
		t := c.calls[p.Index]
		if t == nil {
			t = &toolCall{}
			c.calls[p.Index] = t
		}
		if !null(p.ID) {
			t.rest.set("id", p.ID, "")
		}
		if !null(p.Type) {
			t.rest.set("type", p.Type, "")
		}
		if p.Function.Name != "" {
			t.name = p.Function.Name
		}
		t.arguments.WriteString(p.Function.Arguments)
	}
	return len(parts) > 0
}

// addLogs puts lists together member by member.
func (c *choice) addLogs(logs json.RawMessage) {
	o, err := parseObject(logs)
	if err != nil {
		return
	}
	for _, m := range o {
		var more []json.RawMessage
		if json.Unmarshal(m.value, &more) != nil || more == nil {
			continue
		}
		c.logs[m.name] = append(c.logs[m.name], more...)
	}
}

// ended reports whether every choice has a reason for its end.
func (a *streamed) ended() bool {
	for _, c := range a.choices {
		if c.finish == nil {
			return false
		}
	}
	return len(a.choices) > 0
}

// bytes is the answer as the server would have given it in one piece: what the first
// event says of it, with the choices put together, and the usage if that was asked for.
func (a *streamed) bytes(path string) json.RawMessage {
	o := slices.Clone(a.first)
	var choices []json.RawMessage
	for _, i := range slices.Sorted(maps.Keys(a.choices)) {
		choices = append(choices, a.choices[i].bytes(i, path))
	}
	object := "text_completion"
	if path == chatCompletionsPath {
		object = "chat.completion"
	}
	o.set("object", quote(object), "id")
	o.set("choices", array(choices), "")
	if a.usage != nil {
		o.set("usage", a.usage, "choices")
	}
	return o.bytes()
}

func (c *choice) bytes(index int, path string) json.RawMessage {
	i, _ := json.Marshal(index) // a number always encodes
	o := object{{"index", i}}
	if path == chatCompletionsPath {
		o.set("message", c.whole(), "")
	} else {
		o.set("text", quote(c.text.String()), "")
	}
	if len(c.logs) > 0 {
		var logs object
		for _, name := range slices.Sorted(maps.Keys(c.logs)) {
			logs.set(name, array(c.logs[name]), "")
		}
		o.set("logprobs", logs.bytes(), "")
	}
	o.set("finish_reason", c.finish, "")
	return o.bytes()
}

// whole is the message.
func (c *choice) whole() json.RawMessage {
	for name, b := range c.texts {
		c.message.set(name, quote(b.String()), "")
	}
	if len(c.calls) > 0 {
		var calls []json.RawMessage
		for _, i := range slices.Sorted(maps.Keys(c.calls)) {
			t := c.calls[i]
			f := object{{"name", quote(t.name)}, {"arguments", quote(t.arguments.String())}}
			t.rest.set("function", f.bytes(), "")
			calls = append(calls, t.rest.bytes())
		}
		c.message.set("tool_calls", array(calls), "")
	}
	return c.message.bytes()
}

func null(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }
