// Package ollamatest is a test double of an Ollama server, on loopback. It answers
// as Ollama 0.24.0 was seen to answer: statuses, headers, error texts, streams, the
// queue for a model that is not loaded, and the ways in which a stream ends without
// an end. Its models say what they were told, word by word, and the same question
// gets the same answer: identifiers and counts follow from it.
package ollamatest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Version is the version of Ollama that the double plays.
const Version = "0.24.0"

// Options are for [New] and [Start]. Nil stands for the zero value.
type Options struct {
	// Models are the models there are and how they behave. A name without a tag
	// has the tag latest. If Models is empty, there is llama3.
	Models map[string]Behavior
	// Hook may change how one request for a model is answered. It is called from
	// several goroutines at once. If Hook is nil, the model's behavior is used.
	Hook func(r Request, b *Behavior)
	// MaxQueue is how many requests can wait for a model to be loaded, beside the
	// one that is being served. If MaxQueue is 0, 512 is used.
	MaxQueue int
	// Parallel is how many requests the loaded model answers at once. If Parallel
	// is 0, 1 is used.
	Parallel int
	// MaxLoaded is how many models are kept loaded at once. If MaxLoaded is 0, 1 is
	// used.
	MaxLoaded int
	// Lingers is how many calls of /api/ps still list a model that was unloaded
	// because its keep_alive was over, unless another is loaded before.
	Lingers int
	// Now tells the time. If Now is nil, time.Now is used.
	Now func() time.Time
	// Addr is the loopback address to listen on. If Addr is empty, 127.0.0.1:0 is
	// used.
	Addr string
}

// Server is a running double. Its methods are safe for concurrent use.
type Server struct {
	models catalog
	blobs  blobs
	hook   func(Request, *Behavior)
	now    func() time.Time
	record recorder
	sched  *scheduler
	wedge  wedge
	http   *httptest.Server
	closed chan struct{} // closed by Close
	close  sync.Once
}

// New starts a double that is closed when the test ends.
func New(tb testing.TB, o *Options) *Server {
	tb.Helper()
	s, err := Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a double. The caller closes it. The error is that of listening.
func Start(o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Server{
		hook:   o.Hook,
		now:    o.Now,
		closed: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.models.init(o.Models)
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("ollamatest: %w", err)
	}
	s.record.init(s.models.resolve)
	s.sched = newScheduler(o, s.now, s.record.changed)
	s.http = httptest.NewUnstartedServer(s)
	s.http.Listener.Close() // the one it made for itself
	s.http.Listener = l
	s.http.Start()
	return s, nil
}

// URL is where the double listens, without a trailing slash.
func (s *Server) URL() string { return s.http.URL }

// Close stops listening and cuts every connection at once, as Ollama does when it
// is told to end. Closing twice does nothing.
func (s *Server) Close() {
	s.close.Do(func() {
		close(s.closed)
		s.sched.close()
		s.http.CloseClientConnections()
		s.http.Close()
	})
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, known := find(r.URL.Path)
	req := Request{Method: r.Method, Path: r.URL.Path, Host: r.Host, Header: r.Header.Clone()}
	served := known && slices.Contains(e.methods, r.Method) && !foreign(r.Host) && !foreignOrigin(r.Header.Get("Origin"))
	if served && !e.unread {
		// Read first: only then does net/http notice that the client hangs up.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		req.Body = body
	}
	defer s.record.begin(req, served && e.infer, r.Context())()
	switch {
	case served:
		e.serve(s, w, r, req)
	case foreign(r.Host) || foreignOrigin(r.Header.Get("Origin")):
		w.WriteHeader(http.StatusForbidden)
	case !known:
		plain(w, http.StatusNotFound, "404 page not found")
	default:
		w.Header().Set("Allow", strings.Join(e.methods, ", "))
		plain(w, http.StatusMethodNotAllowed, "405 method not allowed")
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	send(w, []byte(text))
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	send(w, b)
}

// send writes to a client, which may have gone: nobody else would want to know.
func send(w io.Writer, b []byte) { _, _ = w.Write(b) }

func fail(w http.ResponseWriter, status int, format string, args ...any) {
	reply(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}
