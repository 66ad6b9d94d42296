package echo

import (
	"encoding/json"
	"time"
)

// ollamaForm is that of Ollama: a line of JSON for each part.
type ollamaForm struct {
	chat bool // of /api/chat, not of /api/generate
}

// line is one line of an answer.
type line struct {
	Model     string    `json:"model"`
	CreatedAt time.Time `json:"created_at"`
	Message   *message  `json:"message,omitempty"`  // of /api/chat
	Response  *string   `json:"response,omitempty"` // of /api/generate
	Done      bool      `json:"done"`

	// For the last line.
	DoneReason      string        `json:"done_reason,omitempty"`
	TotalDuration   time.Duration `json:"total_duration,omitempty"`
	PromptEvalCount int           `json:"prompt_eval_count,omitempty"`
	EvalCount       int           `json:"eval_count,omitempty"`
	EvalDuration    time.Duration `json:"eval_duration,omitempty"`
}

func (f ollamaForm) part(g *generation, text string, done bool) ([]byte, error) {
	now := time.Now()
	l := line{Model: name, CreatedAt: now.UTC(), Done: done}
	if f.chat {
		l.Message = &message{Role: "assistant", Content: content(text)}
	} else {
		l.Response = &text
	}
	if done {
		l.DoneReason = "stop"
		l.TotalDuration = now.Sub(g.begun)
		l.EvalDuration = l.TotalDuration
		l.PromptEvalCount, l.EvalCount = g.tokens, g.tokens
	}
	b, err := json.Marshal(l)
	return append(b, '\n'), err
}
