package ollamatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

func (s *Server) anthropicMessages(w http.ResponseWriter, r *http.Request, req Request) {
	type Message struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	}
	type MessagesRequest struct {
		Model       string    `json:"model"`
		MaxTokens   int       `json:"max_tokens"`
		Messages    []Message `json:"messages"`
		System      any       `json:"system"`
		Stream      bool      `json:"stream"`
		Temperature *float64  `json:"temperature"`
	}
	var q MessagesRequest
	f := &messagesForm{id: fmt.Sprintf("%024x", identify(req))}
	if !bind(w, r, f, &q) {
		return
	}
	switch {
	case q.Model == "":
		refuse(w, f, errors.New("model is required"))
		return
	case q.MaxTokens <= 0:
		refuse(w, f, errors.New("max_tokens is required and must be positive"))
		return
	case len(q.Messages) == 0:
		refuse(w, f, errors.New("messages is required"))
		return
	}
	n := native{Model: q.Model, Stream: q.Stream, Options: options(&q.MaxTokens, q.Temperature)}
	if q.System != nil {
		q.Messages = append([]Message{{"system", q.System}}, q.Messages...)
	}
	length := 0
	for _, m := range q.Messages {
		texts, err := contents(m.Content)
		if err != nil {
			refuse(w, f, err)
			return
		}
		n.Messages = append(n.Messages, nativeMessage{m.Role, strings.Join(texts, "")})
		length += len(m.Role) + len(strings.Join(texts, ""))
	}
	f.model, f.streams, f.estimate = q.Model, q.Stream, max(1, length/4)
	if q.Stream {
		eventStream(w)
	}
	serveAs(w, r, req, n, f, q.Stream, s.chat)
}

// messagesForm is the form of answers of /v1/messages.
type messagesForm struct {
	id       string
	model    string
	streams  bool
	estimate int // of the tokens of the prompt, before they are counted

	// Of a stream: what has been sent.
	begun bool
	block string // the type of the block that is open, if any
	index int
	tools int
}

func (f *messagesForm) failure(status int, message string) any {
	kind := "api_error"
	switch status {
	case http.StatusBadRequest:
		kind = "invalid_request_error"
	case http.StatusNotFound:
		kind = "not_found_error"
	case http.StatusServiceUnavailable:
		kind = "overloaded_error"
	}
	type e struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return struct {
		Type      string `json:"type"`
		Error     e      `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", e{kind, message}, "req_" + f.id}
}

type messageBlock struct {
	Type     string          `json:"type"`
	Text     *string         `json:"text,omitempty"`
	ID       string          `json:"id,omitempty"`
	Name     string          `json:"name,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
	Thinking *string         `json:"thinking,omitempty"`
}

type messageUsage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
}

type wholeMessage struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Role       string         `json:"role"`
	Model      string         `json:"model"`
	Content    []messageBlock `json:"content"`
	StopReason string         `json:"stop_reason,omitempty"`
	Usage      messageUsage   `json:"usage"`
}

func stopReason(native string, tools bool) string {
	switch {
	case tools:
		return "tool_use"
	case native == "stop":
		return "end_turn"
	case native == "length":
		return "max_tokens"
	case native != "":
		return "stop_sequence"
	}
	return ""
}

func (f *messagesForm) answer(native []byte) []byte {
	var c chatResponse
	if json.Unmarshal(native, &c) != nil {
		return nil
	}
	if f.streams {
		return f.events(c)
	}
	var blocks []messageBlock
	if c.Message.Thinking != "" {
		blocks = append(blocks, messageBlock{Type: "thinking", Thinking: &c.Message.Thinking})
	}
	if c.Message.Content != "" {
		blocks = append(blocks, messageBlock{Type: "text", Text: &c.Message.Content})
	}
	calls := toolCalls(c.Message.ToolCalls)
	for _, t := range calls {
		blocks = append(blocks, messageBlock{Type: "tool_use", ID: t.ID, Name: t.Function.Name, Input: json.RawMessage(t.Function.Arguments)})
	}
	return line(wholeMessage{
		"msg_" + f.id, "message", "assistant", c.Model, blocks,
		stopReason(c.DoneReason, len(calls) > 0),
		messageUsage{c.PromptEvalCount, c.EvalCount},
	})
}
