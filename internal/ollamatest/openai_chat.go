package ollamatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

func (s *Server) openAIChat(w http.ResponseWriter, r *http.Request, req Request) {
	type Message struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	}
	type ResponseFormat struct {
		Type string `json:"type"`
	}
	type ChatCompletionRequest struct {
		Model          string          `json:"model"`
		Messages       []Message       `json:"messages"`
		Stream         bool            `json:"stream"`
		StreamOptions  *StreamOptions  `json:"stream_options"`
		MaxTokens      *int            `json:"max_tokens"`
		Seed           *int            `json:"seed"`
		Temperature    *float64        `json:"temperature"`
		TopP           *float64        `json:"top_p"`
		ResponseFormat *ResponseFormat `json:"response_format"`
	}
	f := &chatForm{id: fmt.Sprintf("chatcmpl-%d", identify(req)%999), created: s.now().Unix()}
	var q ChatCompletionRequest
	if !bind(w, r, f, &q) {
		return
	}
	if len(q.Messages) == 0 {
		refuse(w, f, errors.New("[] is too short - 'messages'"))
		return
	}
	n := native{Model: q.Model, Stream: q.Stream, Options: options(q.MaxTokens, q.Temperature)}
	for _, m := range q.Messages {
		texts, err := contents(m.Content)
		if err != nil {
			refuse(w, f, err)
			return
		}
		for _, text := range texts {
			n.Messages = append(n.Messages, nativeMessage{m.Role, text})
		}
	}
	if q.ResponseFormat != nil && q.ResponseFormat.Type == "json_object" {
		n.Format = json.RawMessage(`"json"`)
	}
	f.streams, f.usage = q.Stream, q.StreamOptions != nil && q.StreamOptions.IncludeUsage
	serveAs(w, r, req, n, f, q.Stream, s.chat)
}

type toolCall struct {
	ID       string `json:"id"`
	Index    int    `json:"index"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// toolCalls are those of the native API, whose arguments are no string.
func toolCalls(raw json.RawMessage) []toolCall {
	var in []struct {
		ID       string `json:"id"`
		Function struct {
			Index     int             `json:"index"`
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &in); err != nil {
			panic(err)
		}
	}
	var out []toolCall
	for _, c := range in {
		t := toolCall{ID: c.ID, Index: c.Function.Index, Type: "function"}
		t.Function.Name, t.Function.Arguments = c.Function.Name, string(c.Function.Arguments)
		out = append(out, t)
	}
	return out
}

type openAIMessage struct {
	Role      string     `json:"role"`
	Content   string     `json:"content"`
	Reasoning string     `json:"reasoning,omitempty"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type choice struct {
	Index        int            `json:"index"`
	Message      *openAIMessage `json:"message,omitempty"`
	Delta        *openAIMessage `json:"delta,omitempty"`
	FinishReason *string        `json:"finish_reason"`
}

type completion[C any] struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Created           int64  `json:"created"`
	Model             string `json:"model"`
	SystemFingerprint string `json:"system_fingerprint"`
	Choices           []C    `json:"choices"`
	Usage             *usage `json:"usage,omitempty"`
}

// chatForm is the form of answers of /v1/chat/completions.
type chatForm struct {
	openAIForm
	id      string
	created int64
	streams bool
	usage   bool // is wanted in a stream
	tools   bool // have been called before
}

func (f *chatForm) answer(native []byte) []byte {
	var c chatResponse
	if json.Unmarshal(native, &c) != nil {
		return nil
	}
	calls := toolCalls(c.Message.ToolCalls)
	f.tools = f.tools || len(calls) > 0
	reason := c.DoneReason
	if f.tools && (reason != "" || !f.streams) {
		reason = "tool_calls"
	}
	m := &openAIMessage{c.Message.Role, c.Message.Content, c.Message.Thinking, calls}
	out := completion[choice]{f.id, "chat.completion", f.created, c.Model, fingerprint, nil, nil}
	if !f.streams {
		u := c.usage()
		out.Usage = &u
		out.Choices = []choice{{Message: m, FinishReason: orNil(reason)}}
		return line(out)
	}
	m.Role = "assistant"
	out.Object, out.Choices = "chat.completion.chunk", []choice{{Delta: m, FinishReason: orNil(reason)}}
	b := data(out)
	if !c.Done {
		return b
	}
	if f.usage {
		u := c.usage()
		out.Choices, out.Usage = []choice{}, &u
		b = append(b, data(out)...)
	}
	return append(b, "data: [DONE]\n\n"...)
}
