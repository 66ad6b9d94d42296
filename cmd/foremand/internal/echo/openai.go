package echo

import (
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"
)

// completion is an answer of OpenAI's /v1/chat/completions: one object, or an event with
// a part of it for each token.
type completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`

	withUsage bool // in a last event of its own
}

type choice struct {
	Index        int      `json:"index"`
	Message      *message `json:"message,omitempty"`
	Delta        *message `json:"delta,omitempty"`
	FinishReason *string  `json:"finish_reason"`
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

func newCompletion(q *request) *completion {
	return &completion{
		ID: "chatcmpl-" + ulid.Make().String(), Created: time.Now().Unix(), Model: name,
		withUsage: q.StreamOptions.IncludeUsage,
	}
}

func (c completion) part(g *generation, text string, done bool) ([]byte, error) {
	one := choice{Delta: &message{Role: "assistant", Content: content(text)}}
	c.Object = "chat.completion.chunk"
	if done {
		stop := "stop"
		one.FinishReason = &stop
	}
	used := &usage{g.tokens, g.tokens, 2 * g.tokens}
	if g.whole {
		one.Message, one.Delta = one.Delta, nil
		c.Object, c.Usage = "chat.completion", used
		c.Choices = []choice{one}
		return json.Marshal(c)
	}
	c.Choices = []choice{one}
	out, err := c.event()
	if !done || err != nil {
		return out, err
	}
	if c.withUsage {
		c.Choices, c.Usage = []choice{}, used
		last, err := c.event()
		if err != nil {
			return nil, err
		}
		out = append(out, last...)
	}
	return append(out, "data: [DONE]\n\n"...), nil
}

func (c completion) event() ([]byte, error) {
	b, err := json.Marshal(c)
	return append(append([]byte("data: "), b...), "\n\n"...), err
}
