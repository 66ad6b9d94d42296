package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"

	"github.com/foreman-go/foreman"
)

// Handler serves callers that wait for the answer themselves, at the paths that
// Ollama has; mount it where Ollama would be. A call of POST /api/chat waits for a
// turn of its model in the slots of f, and is then answered by Ollama itself: the same
// bytes, as they come. A request that asks for no model, or by another method, can
// only be refused, which Ollama does at once. Other paths are not found.
//
// Nothing of a call is stored, and a state_webhook_url in its body is not honored: the
// caller waits for the result as it is. When the caller hangs up, waiting or being
// answered, the call ends; so it does when it takes nothing for
// [Options.WriteTimeout]. A connection that Ollama cuts is cut for the caller too.
//
// Errors have Ollama's form, {"error": "..."}: 413 for a body beyond
// [Options.MaxBody], 502 when Ollama cannot be reached, 503 with Retry-After when too
// many callers wait or f is about to end.
//
// The handler tells Ollama neither who the caller is (X-Forwarded-For) nor from what
// page it comes (Origin), for which Ollama would refuse it: whoever mounts it says who
// may call it.
func (b *Backend) Handler(f *foreman.Foreman) http.Handler {
	s := &surface{b: b, f: f, proxy: b.newProxy()}
	s.paths = map[string]http.HandlerFunc{
		chatPath: s.inTurn,
	}
	return s
}

// surface is the synchronous surface of one Foreman.
type surface struct {
	b     *Backend
	f     *foreman.Foreman
	proxy *httputil.ReverseProxy
	paths map[string]http.HandlerFunc
}

// ServeHTTP answers one call.
func (s *surface) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, ok := s.paths[r.URL.Path]
	if !ok {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusNotFound)
		write(w, []byte("404 page not found"))
		return
	}
	serve(w, r)
}

// inTurn answers a call that keeps a model busy.
func (s *surface) inTurn(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.proxy.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.b.maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("request body too large: at most %d bytes are accepted", s.b.maxBody))
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "the request body cannot be read: "+err.Error())
		return
	}
	model := modelOf(body)
	if model == "" {
		s.proxy.ServeHTTP(w, withBody(r.Context(), r, body))
		return
	}
	err = s.f.Do(r.Context(), foreman.Spec{Model: model, Input: body}, func(ctx context.Context, _ foreman.Turn) error {
		s.proxy.ServeHTTP(s.b.impatient(w), withBody(ctx, r, body))
		return nil
	})
	if err != nil {
		turnedAway(w, err)
	}
}

// modelOf reads the model of a body as Ollama does; it is empty if Ollama would find
// none.
func modelOf(body []byte) string {
	var m struct{ Model string }
	if json.NewDecoder(bytes.NewReader(body)).Decode(&m) != nil {
		return ""
	}
	return m.Model
}

// withBody is a request with a body that has been read already.
func withBody(ctx context.Context, r *http.Request, body []byte) *http.Request {
	r = r.WithContext(ctx)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength, r.TransferEncoding = int64(len(body)), nil
	return r
}

// turnedAway answers a caller whose turn has not come.
func turnedAway(w http.ResponseWriter, err error) {
	const seconds = "5"
	switch {
	case errors.Is(err, foreman.ErrBusy):
		w.Header().Set("Retry-After", seconds)
		fail(w, http.StatusServiceUnavailable, "server busy, please try again.  maximum pending requests exceeded") // Ollama's own words
	case errors.Is(err, foreman.ErrUnavailable):
		w.Header().Set("Retry-After", seconds)
		fail(w, http.StatusServiceUnavailable, "server shutting down, please try again")
	default: // the caller has gone, or a handler around this one has had enough
		fail(w, statusCanceled, "request canceled")
	}
}

// statusCanceled is what Ollama answers when the request's context has ended.
const statusCanceled = 499

func (b *Backend) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     b.transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(b.url)
			r.Out.Header.Del("Origin")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			cause := context.Cause(r.Context())
			if _, ok := errors.AsType[foreman.Code](cause); ok { // f has to end, not the caller
				cause = foreman.ErrUnavailable
			}
			if cause != nil {
				turnedAway(w, cause)
				return
			}
			b.log.Warn("the model server did not answer a caller", "error", err)
			fail(w, http.StatusBadGateway, fmt.Sprintf("cannot reach the model server at %s: is it running?", b.url))
		},
		ErrorLog: slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
}

// fail answers with an error in Ollama's form.
func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	write(w, object{{"error", quote(text)}}.bytes())
}

// write writes to a caller; one that has gone is not told anything any more.
func write(w io.Writer, b []byte) { _, _ = w.Write(b) }
