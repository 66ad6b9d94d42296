package ollamatest

import (
	"context"
	"sync"
)

// wedge holds up every token while it is closed.
type wedge struct {
	mu   sync.Mutex
	open chan struct{} // closed when tokens may pass; nil if they always could
}

// Wedge lets no model generate anything more, as in a server that hangs, until it is
// called with false. What needs no model is answered all the same.
func (s *Server) Wedge(on bool) {
	s.wedge.mu.Lock()
	defer s.wedge.mu.Unlock()
	switch {
	case on && s.wedge.open == nil:
		s.wedge.open = make(chan struct{})
	case !on && s.wedge.open != nil:
		close(s.wedge.open)
		s.wedge.open = nil
	}
}

// pass waits while the server is wedged.
func (w *wedge) pass(ctx context.Context, closed <-chan struct{}) error {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	if open == nil {
		return nil
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return errCut
	}
}
