package echo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"
)

// generation is the body of an answer, made while it is read.
type generation struct {
	ctx   context.Context // ends with Close
	close context.CancelFunc
	chat  bool // in the form of /api/chat, not of /api/generate
	whole bool // all in one, not streamed
	begun time.Time
	delay time.Duration

	rest    string       // of the text that is repeated
	said    bytes.Buffer // if whole
	tokens  int
	pending bytes.Buffer // to be read
	ended   bool         // nothing follows what is pending
}

func (g *generation) Read(p []byte) (int, error) {
	for g.pending.Len() == 0 {
		if g.ended {
			return 0, io.EOF
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	return g.pending.Read(p)
}

// Close ends the answer, and a Read that waits.
func (g *generation) Close() error {
	g.close()
	return nil
}

// next makes one more token, or the end.
func (g *generation) next() error {
	if g.rest == "" {
		g.ended = true
		return g.write(g.said.String(), true)
	}
	if err := g.pause(); err != nil {
		return err
	}
	var token string
	token, g.rest = cut(g.rest)
	g.tokens++
	if g.whole {
		g.said.WriteString(token)
		return nil
	}
	return g.write(token, false)
}

func (g *generation) pause() error {
	if g.delay == 0 {
		return g.ctx.Err()
	}
	t := time.NewTimer(g.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-g.ctx.Done():
		return g.ctx.Err()
	}
}

// part is one line of an answer.
type part struct {
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

func (g *generation) write(text string, done bool) error {
	now := time.Now()
	p := part{Model: name, CreatedAt: now.UTC(), Done: done}
	if g.chat {
		p.Message = &message{Role: "assistant", Content: text}
	} else {
		p.Response = &text
	}
	if done {
		p.DoneReason = "stop"
		p.TotalDuration = now.Sub(g.begun)
		p.EvalDuration = p.TotalDuration
		p.PromptEvalCount, p.EvalCount = g.tokens, g.tokens
	}
	return json.NewEncoder(&g.pending).Encode(p)
}
