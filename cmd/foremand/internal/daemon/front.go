package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Bounds on a connection. Once a request has been read, it can wait for its answer as
// long as its handler lets it: some answers are streams.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 5 * time.Minute // with the body
	idleTimeout    = 2 * time.Minute
	mostHeader     = 64 << 10 // bytes
)

// front serves HTTP on a listener. Until it has something to serve, which takes as long as
// what is needed to start cannot be reached, it says that it is there, and asks callers to
// come again.
type front struct {
	server *http.Server
	opened atomic.Pointer[http.Handler] // nil until then
	cut    context.CancelFunc           // ends the contexts of requests
	broken chan struct{}                // closed when nothing is served any more
	err    error                        // why, then, if nobody has asked for that
}

// newFront begins to serve. The contexts of requests outlive ctx.
func newFront(ctx context.Context, ln net.Listener, log *slog.Logger) *front {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	f := &front{cut: cut, broken: make(chan struct{})}
	f.server = &http.Server{
		Handler:           f,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    mostHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	go func() {
		defer close(f.broken)
		if err := f.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			f.err = err
		}
	}()
	return f
}

// open has h answer requests from now on.
func (f *front) open(h http.Handler) { f.opened.Store(&h) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch h := f.opened.Load(); {
	case h != nil:
		(*h).ServeHTTP(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/healthz":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`) // as it is later
	default:
		w.Header().Set("Retry-After", "1")
		sendProblem(w, http.StatusServiceUnavailable, "unavailable", "Unavailable", "foremand is starting: try again in a moment")
	}
}

// close ends it at once, if it has not ended.
func (f *front) close() {
	f.cut()
	_ = f.server.Close() // the listener with it, whatever it says
	<-f.broken
}
