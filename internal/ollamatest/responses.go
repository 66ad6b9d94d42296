package ollamatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

func (s *Server) openAIResponses(w http.ResponseWriter, r *http.Request, req Request) {
	type ResponsesRequest struct {
		Model           string          `json:"model"`
		Input           json.RawMessage `json:"input"`
		Instructions    string          `json:"instructions"`
		MaxOutputTokens *int            `json:"max_output_tokens"`
		Temperature     *float64        `json:"temperature"`
		TopP            *float64        `json:"top_p"`
		Stream          *bool           `json:"stream"`
	}
	var q ResponsesRequest
	id := identify(req) % 999999
	f := &responsesForm{now: s.now().Unix(), id: fmt.Sprintf("resp_%d", id), item: fmt.Sprintf("msg_%d", id)}
	if !bind(w, r, f, &q) {
		return
	}
	input, err := inputs(q.Input)
	if err != nil {
		refuse(w, f, err)
		return
	}
	f.model, f.instructions, f.maxTokens = q.Model, orNil(q.Instructions), q.MaxOutputTokens
	f.temperature, f.topP = orOne(q.Temperature), orOne(q.TopP)
	f.streams = q.Stream != nil && *q.Stream
	n := native{Model: q.Model, Stream: f.streams, Options: options(q.MaxOutputTokens, q.Temperature)}
	if q.Instructions != "" {
		n.Messages = append(n.Messages, nativeMessage{"system", q.Instructions})
	}
	n.Messages = append(n.Messages, input...)
	if f.streams {
		eventStream(w)
	}
	serveAs(w, r, req, n, f, f.streams, s.chat)
}

// eventStream sets what some streams set before anything is known of the answer, so
// that an error has it too.
func eventStream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Connection", "keep-alive")
}

// inputs are the messages of an input: a text, or a list of messages.
func inputs(input json.RawMessage) ([]nativeMessage, error) {
	var text string
	if json.Unmarshal(input, &text) == nil {
		return []nativeMessage{{"user", text}}, nil
	}
	var items []struct {
		Role    string
		Content any
	}
	if json.Unmarshal(input, &items) != nil {
		return nil, errors.New("input must be a string or array")
	}
	var out []nativeMessage
	for _, item := range items {
		texts, err := contents(item.Content)
		if err != nil {
			return nil, err
		}
		for _, text := range texts {
			out = append(out, nativeMessage{item.Role, text})
		}
	}
	return out, nil
}

func orOne(f *float64) float64 {
	if f == nil {
		return 1
	}
	return *f
}

// responsesForm is the form of answers of /v1/responses.
type responsesForm struct {
	openAIForm
	id, item          string
	now               int64
	model             string
	instructions      *string
	maxTokens         *int
	temperature, topP float64
	streams           bool

	// Of a stream: what has been sent.
	sequence  int
	begun     bool
	text      string
	thinking  string
	calls     []toolCall
	index     int // of the item that is being sent
	reasoning itemState
	message   itemState
}

// itemState is how far an item of a stream has come.
type itemState int

const (
	unsent itemState = iota
	open
	done
)

func (f *responsesForm) answer(native []byte) []byte {
	var c chatResponse
	if json.Unmarshal(native, &c) != nil {
		return nil
	}
	if f.streams {
		return f.events(c)
	}
	f.text, f.thinking, f.calls = c.Message.Content, c.Message.Thinking, toolCalls(c.Message.ToolCalls)
	if f.thinking != "" {
		f.reasoning = done
	}
	if len(f.calls) == 0 {
		f.message = done
	}
	return line(f.response("completed", f.output(), f.usage(c)))
}
