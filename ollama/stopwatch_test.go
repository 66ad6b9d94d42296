package ollama_test

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/foreman-go/foreman/ollama"
)

// stopwatch sends requests, and knows when those that keep a model busy began and ended.
type stopwatch struct {
	next *http.Transport
	mu   sync.Mutex
	runs []*timed
}

// timed is one request for a model: a load if it is of Foreman's own.
type timed struct {
	model      string
	own        bool
	begun, end time.Time
}

func newStopwatch() *stopwatch {
	return &stopwatch{next: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
}

func (s *stopwatch) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || r.URL.Path == "/api/show" || r.GetBody == nil {
		return s.next.RoundTrip(r)
	}
	t := &timed{model: modelOf(r), own: r.Header.Get("User-Agent") == ollama.OwnAgent, begun: time.Now()}
	s.mu.Lock()
	s.runs = append(s.runs, t)
	s.mu.Unlock()
	resp, err := s.next.RoundTrip(r)
	if err == nil {
		resp.Body = &stops{resp.Body, s, t}
	}
	return resp, err
}

// modelOf is the model of a body, of which tests here have names of one letter.
func modelOf(r *http.Request) string {
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	b, _ := io.ReadAll(body)
	const before = `{"model":"`
	return string(b[len(before) : len(before)+1])
}

// stops is a body that stops the time when it is closed.
type stops struct {
	io.ReadCloser
	s *stopwatch
	t *timed
}

func (b *stops) Close() error {
	b.s.mu.Lock()
	b.t.end = time.Now()
	b.s.mu.Unlock()
	return b.ReadCloser.Close()
}

// work are the requests that were not Foreman's own, as they began.
func (s *stopwatch) work() (out []timed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.runs {
		if !t.own {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b timed) int { return a.begun.Compare(b.begun) })
	return out
}

// figures of a run in which some lanes had work from the beginning on.
type figures struct {
	run, swap time.Duration            // the longest
	took      time.Duration            // all of it
	together  time.Duration            // until the first lane had no more
	waits     map[string]time.Duration // the longest between two of a lane, or before the first
}

func (s *stopwatch) figures(begun time.Time) figures {
	f := figures{waits: map[string]time.Duration{}}
	last, ended := map[string]time.Time{}, begun
	var before string
	for _, t := range s.work() {
		since, ok := last[t.model]
		if !ok {
			since = begun
		}
		f.waits[t.model] = max(f.waits[t.model], t.begun.Sub(since))
		last[t.model] = t.begun
		if t.model != before {
			f.swap = max(f.swap, t.begun.Sub(ended))
		}
		before = t.model
		f.run = max(f.run, t.end.Sub(t.begun))
		if t.end.After(ended) {
			ended = t.end
		}
	}
	f.took, f.together = ended.Sub(begun), ended.Sub(begun)
	for _, t := range last {
		f.together = min(f.together, t.Sub(begun))
	}
	return f
}

// longest is the longest wait of all lanes.
func (f *figures) longest() (d time.Duration) {
	for _, w := range f.waits {
		d = max(d, w)
	}
	return d
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
