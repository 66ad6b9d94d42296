package ollama

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// maxLine bounds one line of a stream, as Ollama's own client does.
const maxLine = 8 << 20

// line is one line of a stream, or an answer in one piece: of /api/chat if it has a
// message, else of /api/generate.
type line struct {
	Message *struct {
		Content   string            `json:"content"`
		Thinking  string            `json:"thinking"`
		ToolCalls []json.RawMessage `json:"tool_calls"`
	} `json:"message"`
	Response  string            `json:"response"`
	Thinking  string            `json:"thinking"`
	ToolCalls []json.RawMessage `json:"tool_calls"`
	Logprobs  []json.RawMessage `json:"logprobs"`
	Done      bool              `json:"done"`
	Error     string            `json:"error"`
}

func parseLine(b []byte) (*line, error) {
	var l *line
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, incomplete("the model server sent what is not an answer: %w", err)
	}
	if l == nil {
		return nil, incomplete("the model server sent what is not an answer: null")
	}
	if l.Error != "" {
		return nil, saidSo(l.Error)
	}
	if l.Message != nil {
		l.Response, l.Thinking, l.ToolCalls = l.Message.Content, l.Message.Thinking, l.Message.ToolCalls
	}
	return l, nil
}

// text is what the model has generated, in the order in which it does.
func (l *line) text() string { return l.Thinking + l.Response }

// answer puts the lines of a stream together.
type answer struct {
	chat              bool
	content, thinking strings.Builder
	toolCalls         []json.RawMessage
	logprobs          []json.RawMessage
	last              []byte // the line that says that it is done, nil before
}

func (a *answer) add(b []byte, l *line) {
	a.chat = a.chat || l.Message != nil
	a.content.WriteString(l.Response)
	a.thinking.WriteString(l.Thinking)
	a.toolCalls = append(a.toolCalls, l.ToolCalls...)
	a.logprobs = append(a.logprobs, l.Logprobs...)
	if l.Done {
		a.last = bytes.Clone(b)
	}
}

// whole is the answer as Ollama would have given it with "stream": false: the last
// line, with what all lines together say.
func (a *answer) whole() (json.RawMessage, error) {
	o, err := parseObject(a.last)
	if err != nil {
		return nil, incomplete("the last line of the answer is %w", err)
	}
	if !a.chat {
		a.fill(&o, "response")
	} else {
		var message object
		if i := o.find("message"); i >= 0 {
			message, _ = parseObject(o[i].value) // null is as good as {}
		}
		a.fill(&message, "content")
		o.set("message", message.bytes(), "created_at")
	}
	if len(a.logprobs) > 0 {
		o.set("logprobs", array(a.logprobs), "")
	}
	return o.bytes(), nil
}

func (a *answer) fill(o *object, content string) {
	o.set(content, quote(a.content.String()), "")
	if a.thinking.Len() > 0 {
		o.set("thinking", quote(a.thinking.String()), content)
	}
	if len(a.toolCalls) > 0 {
		o.set("tool_calls", array(a.toolCalls), "")
	}
}

// readStream reads an answer line by line, and tells each text as it comes.
func readStream(r io.Reader, most int64, tell func(text string)) (json.RawMessage, error) {
	var a answer
	limited := &io.LimitedReader{R: r, N: most + 1}
	s := bufio.NewScanner(limited)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		b := bytes.TrimSpace(s.Bytes())
		if len(b) == 0 || a.last != nil {
			continue
		}
		if limited.N == 0 {
			break // more than the limit has been read, and this line may be cut
		}
		l, err := parseLine(b)
		if err != nil {
			return nil, cutShort(s.Err(), err)
		}
		if text := l.text(); text != "" {
			tell(text)
		}
		a.add(b, l)
	}
	switch {
	case a.last != nil:
		return a.whole()
	case limited.N == 0:
		return nil, tooLong("the answer has more than %d bytes", most)
	case errors.Is(s.Err(), bufio.ErrTooLong):
		return nil, tooLong("a line of the answer has more than %d bytes", maxLine)
	case s.Err() != nil:
		return nil, incomplete("the answer was cut off: %w", s.Err())
	}
	return nil, noEnd()
}

// cutShort prefers the reason why a body ended over what that made of its last line.
func cutShort(reading, parsing error) error {
	if reading != nil && !errors.Is(reading, bufio.ErrTooLong) {
		return incomplete("the answer was cut off: %w", reading)
	}
	return parsing
}

// readWhole reads an answer that comes in one piece. Embeddings have no end mark.
func readWhole(r io.Reader, most int64, path string, tell func(text string)) (json.RawMessage, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, incomplete("the answer was cut off: %w", err)
	}
	if int64(len(b)) > most {
		return nil, tooLong("the answer has more than %d bytes", most)
	}
	if onV1(path) {
		return b, readWholeV1(b, path, tell)
	}
	l, err := parseLine(b)
	if err != nil {
		return nil, err
	}
	if path != embedPath && path != embeddingsPath && !l.Done {
		return nil, noEnd()
	}
	if text := l.text(); text != "" {
		tell(text)
	}
	return b, nil
}

func noEnd() error {
	return incomplete("the answer ended without its end mark: the model may have repeated itself until the server gave up")
}
