// Package ollamatest is a test double of an Ollama server, on loopback. It answers
// as Ollama 0.24.0 was seen to answer: statuses, headers, error texts, streams, the
// queue for a model that is not loaded, and the ways in which a stream ends without
// an end. Its models say what they were told, word by word.
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
	// Now tells the time. If Now is nil, time.Now is used.
	Now func() time.Time
	// Addr is the loopback address to listen on. If Addr is empty, 127.0.0.1:0 is
	// used.
	Addr string
}

// Server is a running double. Its methods are safe for concurrent use.
type Server struct {
	models map[string]Behavior
	hook   func(Request, *Behavior)
	now    func() time.Time
	record recorder
	sched  *scheduler
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
		models: map[string]Behavior{},
		hook:   o.Hook,
		now:    o.Now,
		closed: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	for name, b := range o.Models {
		s.models[tagged(name)] = b
	}
	if len(s.models) == 0 {
		s.models[tagged("llama3")] = Behavior{}
	}
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("ollamatest: %w", err)
	}
	s.record.init()
	s.sched = newScheduler(s.now, s.record.changed, max(o.Parallel, 1), o.MaxQueue)
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

// tagged is the full name of a model.
func tagged(name string) string {
	if name == "" || strings.Contains(name, ":") {
		return name
	}
	return name + ":latest"
}

// endpoint is one path of the API.
type endpoint struct {
	method string
	infer  bool // keeps a model busy
	serve  func(*Server, http.ResponseWriter, *http.Request, Request)
}

func find(path string) (endpoint, bool) {
	switch path {
	case "/api/chat":
		return endpoint{http.MethodPost, true, (*Server).chat}, true
	case "/api/generate":
		return endpoint{http.MethodPost, true, (*Server).generate}, true
	case "/api/embed":
		return endpoint{http.MethodPost, true, (*Server).embed}, true
	case "/api/embeddings":
		return endpoint{http.MethodPost, true, (*Server).embeddings}, true
	case "/api/show":
		return endpoint{http.MethodPost, false, (*Server).show}, true
	case "/api/tags":
		return endpoint{http.MethodGet, false, (*Server).tags}, true
	case "/api/ps":
		return endpoint{http.MethodGet, false, (*Server).ps}, true
	case "/api/version":
		return endpoint{http.MethodGet, false, (*Server).version}, true
	case "/":
		return endpoint{http.MethodGet, false, (*Server).root}, true
	}
	return endpoint{}, false
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Read first: only then does net/http notice that the client hangs up.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	req := Request{Method: r.Method, Path: r.URL.Path, Host: r.Host, Header: r.Header.Clone(), Body: body}
	e, known := find(r.URL.Path)
	defer s.record.begin(req, e.infer, r.Context())()
	switch {
	case foreign(r.Host) || foreignOrigin(r.Header.Get("Origin")):
		w.WriteHeader(http.StatusForbidden)
	case !known:
		plain(w, http.StatusNotFound, "404 page not found")
	case r.Method != e.method && (r.Method != http.MethodHead || e.method != http.MethodGet):
		w.Header().Set("Allow", e.method)
		plain(w, http.StatusMethodNotAllowed, "405 method not allowed")
	default:
		e.serve(s, w, r, req)
	}
}

// foreign reports whether a Host header names another machine.
func foreign(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host != "localhost" && (ip == nil || !ip.IsLoopback())
}

func foreignOrigin(origin string) bool {
	_, host, ok := strings.Cut(origin, "://")
	return ok && foreign(host)
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
