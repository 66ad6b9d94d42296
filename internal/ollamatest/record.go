package ollamatest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
)

// Request is a request that the double was sent. The body of a blob is not kept.
type Request struct {
	Method, Path, Host string
	Header             http.Header
	Body               []byte
}

// Stats count what the double has seen. Those about requests are about those that
// need a model loaded: chat, generate, embed and the like, on either API.
type Stats struct {
	Requests    int // how many there were
	InFlight    int // how many are not answered yet, queued ones included
	MaxInFlight int // the most there were at once
	Admitted    int // how many have their model loaded, and generate or wait for a place
	Aborted     int // how many clients hung up before they were answered
	Loads       int // how often a model was loaded
	Unloads     int // how often a loaded model was put out, for whatever reason
	Crossings   int // how many came while one for another model was not answered yet

	models map[string]ModelStats
}

// ModelStats count what concerns one model.
type ModelStats struct {
	Requests, InFlight, MaxInFlight, Loads, Unloads int
}

// Of returns the counts of one model.
func (s Stats) Of(model string) ModelStats { return s.models[tagged(model)] }

// count changes the counts of one model.
func (s *Stats) count(model string, change func(*ModelStats)) {
	m := s.models[model]
	change(&m)
	s.models[model] = m
}

// clone is a copy that does not change any more.
func (s Stats) clone() Stats {
	s.models = maps.Clone(s.models)
	return s
}

// came counts a request that has come, in all and of its model.
func (s *Stats) came(model string) {
	for name, m := range s.models {
		if name != model && m.InFlight > 0 {
			s.Crossings++
			break
		}
	}
	s.Requests++
	s.InFlight++
	s.MaxInFlight = max(s.MaxInFlight, s.InFlight)
	s.count(model, func(m *ModelStats) {
		m.Requests++
		m.InFlight++
		m.MaxInFlight = max(m.MaxInFlight, m.InFlight)
	})
}

// recorder keeps what the double has seen, and wakes who waits for it.
type recorder struct {
	mu    sync.Mutex
	all   []Request
	stats Stats
	news  chan struct{} // closed and replaced at every change
	named func(string) string
}

// init has models counted by the name that named gives them.
func (c *recorder) init(named func(string) string) {
	c.named = named
	c.news = make(chan struct{})
	c.stats.models = map[string]ModelStats{}
}

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
	var body struct{ Model string }
	_ = json.Unmarshal(r.Body, &body) // a body without a model is answered as such
	model := c.named(body.Model)
	c.changed(func(s *Stats) { s.came(model) })
	return func() {
		c.changed(func(s *Stats) {
			s.InFlight--
			s.count(model, func(m *ModelStats) { m.InFlight-- })
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
	return s.record.stats.clone()
}

// Wait waits until the counts are as wanted. The error is the context's, and tells
// what they are instead.
func (s *Server) Wait(ctx context.Context, wanted func(Stats) bool) error {
	for {
		s.record.mu.Lock()
		stats, news := s.record.stats.clone(), s.record.news
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
