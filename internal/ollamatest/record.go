package ollamatest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// Request is a request that the double was sent.
type Request struct {
	Method, Path, Host string
	Header             http.Header
	Body               []byte
}

// Stats count what the double has seen. Those about requests are about those for
// a model: /api/chat, /api/generate, /api/embed and /api/embeddings.
type Stats struct {
	Requests    int // how many there were
	InFlight    int // how many are not answered yet, queued ones included
	MaxInFlight int // the most there were at once
	Admitted    int // how many have their model loaded, and generate or wait for a place
	Aborted     int // how many clients hung up before they were answered
	Loads       int // how often a model was loaded
}

// recorder keeps what the double has seen, and wakes who waits for it.
type recorder struct {
	mu    sync.Mutex
	all   []Request
	stats Stats
	news  chan struct{} // closed and replaced at every change
}

func (c *recorder) init() { c.news = make(chan struct{}) }

// changed changes the counts and wakes who waits.
func (c *recorder) changed(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
	close(c.news)
	c.news = make(chan struct{})
}

// begin records a request, and returns what is to be called when it is answered.
func (c *recorder) begin(r Request, infer bool, ctx context.Context) func() {
	c.mu.Lock()
	c.all = append(c.all, r)
	c.mu.Unlock()
	if !infer {
		return func() {}
	}
	c.changed(func(s *Stats) {
		s.Requests++
		s.InFlight++
		s.MaxInFlight = max(s.MaxInFlight, s.InFlight)
	})
	return func() {
		c.changed(func(s *Stats) {
			s.InFlight--
			if ctx.Err() != nil {
				s.Aborted++
			}
		})
	}
}

// Requests returns the requests for a path, in the order in which they came.
func (s *Server) Requests(path string) []Request {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	var out []Request
	for _, r := range s.record.all {
		if r.Path == path {
			out = append(out, r)
		}
	}
	return out
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.stats
}

// Wait waits until the counts are as wanted. The error is the context's, and tells
// what they are instead.
func (s *Server) Wait(ctx context.Context, wanted func(Stats) bool) error {
	for {
		s.record.mu.Lock()
		stats, news := s.record.stats, s.record.news
		s.record.mu.Unlock()
		if wanted(stats) {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("ollamatest: waited in vain, with %+v: %w", stats, ctx.Err())
		}
	}
}
