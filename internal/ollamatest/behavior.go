package ollamatest

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Behavior is how a model behaves. The zero value answers at once, and well.
type Behavior struct {
	// LoadDelay is how long it takes to load the model.
	LoadDelay time.Duration
	// TokenDelay is how long it takes to generate a token.
	TokenDelay time.Duration
	// Step, if not nil, lets one more token be generated for each value that can
	// be received; close it to let all.
	Step <-chan struct{}
	// Tokens is how many tokens are generated. If Tokens is 0, it is one for each
	// word of the prompt.
	Tokens int
	// Thinking is generated before the tokens, as one of its own, if not empty.
	Thinking string
	// ToolCalls is generated after the tokens, as one of its own, if not empty: a
	// JSON array.
	ToolCalls json.RawMessage

	// End is how the answer ends, and EndAfter after how many tokens, if not well.
	End      End
	EndAfter int

	// Status and Body are what is answered in place of all that, as
	// application/json, if Status is not 0.
	Status int
	Body   string
}

// End is how an answer ends.
type End int

// The ends of answers.
const (
	// Well is the end with a line that says so.
	Well End = iota
	// Repeat is how Ollama gives up on a model that repeats itself: the answer
	// ends properly, and nothing says that it is whole.
	Repeat
	// Death is the death of the process that runs the model.
	Death
	// Cut is the death of the server: the connection is cut.
	Cut
)

var (
	errRepeat = errors.New("token repeat limit reached")
	errDeath  = errors.New("an error was encountered while running the model: unexpected EOF")
	errCut    = errors.New("the connection is cut")
)

func (e End) err() error {
	switch e {
	case Repeat:
		return errRepeat
	case Death:
		return errDeath
	case Cut:
		return errCut
	}
	return nil
}

// pace waits until the next token is there.
func (s *Server) pace(ctx context.Context, b *Behavior) error {
	if err := s.wedge.pass(ctx, s.closed); err != nil {
		return err
	}
	if b.Step != nil {
		select {
		case <-b.Step:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return errCut
		}
	}
	if b.TokenDelay == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(b.TokenDelay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errCut
	}
}
