package ollama

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// wholeTimes is how many times as long as a stream an answer in one piece may be silent:
// nothing of it comes before it is whole.
const wholeTimes = 6

// silence watches one answer, and has the server suspect when nothing of it comes for
// too long. A nil one watches nothing.
type silence struct {
	b       *Backend
	request *http.Request
	path    string

	mu    sync.Mutex
	timer *time.Timer
	times int // how often it has been too long already, without having been suspect
	ended bool
}

// watchSilence begins with the silence before the first byte.
func (b *Backend) watchSilence(r *http.Request, path string) *silence {
	if b.silence < 0 {
		return nil
	}
	s := &silence{b: b, request: r, path: path}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(b.silence, s.tooLong)
	return s
}

// heard begins anew.
func (s *silence) heard() { s.set(false) }

// end ends the watch.
func (s *silence) end() { s.set(true) }

func (s *silence) set(ended bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = s.ended || ended
	s.times = 0
	if s.ended {
		s.timer.Stop()
	} else {
		s.timer.Reset(s.b.silence)
	}
}

// tooLong has the server suspect, and again after the same time if nothing comes.
func (s *silence) tooLong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.timer.Reset(s.b.silence)
	if s.times++; s.times < wholeTimes && !streams(s.path, bodyOf(s.request)) {
		return
	}
	s.b.suspect(modelIn(s.request))
}

// bodyOf is the body that a request was made with, if it can be read again.
func bodyOf(r *http.Request) []byte {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close()
	b, _ := io.ReadAll(body) // what is missing says nothing
	return b
}

// streams reports whether the answer to a body comes as it is generated.
func streams(path string, body []byte) bool {
	var b struct{ Stream *bool }
	if json.NewDecoder(bytes.NewReader(body)).Decode(&b) != nil {
		return true // it is refused at once
	}
	switch {
	case path == embedPath, path == embeddingsPath, path == v1EmbeddingsPath:
		return false
	case onV1(path):
		return b.Stream != nil && *b.Stream
	}
	return b.Stream == nil || *b.Stream
}
