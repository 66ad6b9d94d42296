package ollama

import (
	"cmp"
	"io"
	"net/http"
	"time"

	"github.com/foreman-go/foreman"
)

// HandlerOptions are for [Handler]. Nil stands for the zero value.
type HandlerOptions struct {
	// MaxBody bounds the body of one call in bytes; it is kept in memory until the
	// call has been answered. If MaxBody is 0, 64 MiB is used.
	MaxBody int64
	// MaxBodies bounds the memory that the bodies of all calls take together, waiting
	// and being answered: one that would take more gets 503. If MaxBodies is 0, 256 MiB
	// is used.
	MaxBodies int64
	// MaxWait bounds how long a call waits for its turn; then it gets 503. Callers can
	// ask for less with Prefer: wait=N. If MaxWait is 0, a call waits for as long as its
	// caller does.
	MaxWait time.Duration
	// WriteTimeout is how long a caller can take nothing of what is sent before the
	// connection is cut, so that it cannot keep a slot for ever. If WriteTimeout is 0,
	// 30 seconds is used.
	WriteTimeout time.Duration
	// AllowChanges passes on the calls that change a server, to the first one: pull,
	// push, create, copy, delete and blobs. Only callers who may do everything are
	// allowed them ([foreman.Caller].Admin). The default is to refuse them with 403.
	AllowChanges bool
	// Jobs is the path under which the jobs surface is mounted, such as /queue, for the
	// links of what becomes a job; "/" for the root. If Jobs is empty, it is where
	// this handler is.
	Jobs string
}

// Upstream is a [foreman.Backend] that callers can be passed on to: a [Backend], or
// what wraps one.
type Upstream interface {
	foreman.Backend
	// Server is what callers are passed on to. It is always the same.
	Server() *Backend
}

var _ Upstream = (*Backend)(nil)

// Server returns b, which makes it an [Upstream].
func (b *Backend) Server() *Backend { return b }

// Handler serves callers that wait for the answer themselves, at the paths that Ollama
// has; mount it where Ollama would be. A call that keeps a model busy waits for the
// turn of its model in the slots of f, and is then answered by the server whose slot it
// is: the same status, header and bytes, as they come, after X-Foreman-Queue-Position,
// the place that it had in the queue when it came, from 1, and X-Foreman-Wait, how long
// it waited, in seconds. Those calls are POST of
//
//	/api/chat /api/generate /api/embed /api/embeddings
//	/v1/chat/completions /v1/completions /v1/embeddings /v1/responses /v1/messages
//
// also when they only load or unload a model. Those that can only be refused do not wait,
// and hear so from the server: they name no model, or one that no server has. Nor do those
// that unload a model which is not loaded. Reads are passed on at once too: /,
// /api/tags, /api/ps, /api/version, /api/show, /v1/models and /v1/models/NAME. Of
// several servers the first that can be reached answers, those that have the model
// first, and lists of models are put together. Calls that change a server are refused,
// unless [HandlerOptions.AllowChanges] is set. Other paths are not found. A server of
// [OpenAIAPI] has nothing but /v1.
//
// Nothing of a call is stored, and a state_webhook_url in its body is not honored: the
// caller waits for the result as it is. When the caller hangs up, waiting or being
// answered, the call ends, and its slot is free at once; so it is when the caller takes
// nothing for [HandlerOptions.WriteTimeout]. A connection that the server cuts is cut
// for the caller too. Calls of different owners ([foreman.WithCaller]) take turns.
//
// Prefer: wait=N bounds the time in the queue to N seconds, and Prefer: priority=N is the
// priority there, from -100 to 100. Prefer: respond-async makes the call a job, of that
// priority, which is answered as POST /jobs is, problem documents included:
// Idempotency-Key and wait=N work as there. See [Backend.Run] for what becomes of it.
//
// Errors have the form that the path has them in: 404 for a model that nothing serves,
// 413 for a body beyond [HandlerOptions.MaxBody], 415 for one that is compressed, since
// its model cannot be read, 502 when no server can be reached, 503 with Retry-After when
// too many callers wait, a turn has not come in time, the server is known to hang, or f is
// about to end.
//
// The handler tells a server neither who the caller is (X-Forwarded-For) nor from what
// page it comes (Origin), for which Ollama would refuse it: whoever mounts it says who
// may call it. It is safe for concurrent use.
func Handler(f *foreman.Foreman, o *HandlerOptions) http.Handler {
	if o == nil {
		o = &HandlerOptions{}
	}
	s := &surface{
		f: f, jobs: f.Handler(), o: *o,
		bodies: room{most: cmp.Or(o.MaxBodies, 256<<20)},
		early:  make(chan struct{}, mostAtOnce),
	}
	s.o.MaxBody = cmp.Or(o.MaxBody, 64<<20)
	s.o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	for _, p := range f.Pools() {
		if u, ok := p.Backend.(Upstream); ok {
			s.servers = append(s.servers, server{u.Server(), p.Serves})
		}
	}
	return s
}

// surface is the synchronous surface of one Foreman.
type surface struct {
	f       *foreman.Foreman
	jobs    http.Handler
	o       HandlerOptions
	bodies  room
	early   chan struct{} // holds a token for each call that is looked at before its turn
	servers []server      // in the order of the pools
}

// ServeHTTP answers one call.
func (s *surface) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt := routeOf(r.URL.Path)
	servers := s.serversOf(r.URL.Path)
	switch {
	case rt.kind == unknown || len(servers) == 0:
		notFound(w)
	case rt.kind == changing && (!s.o.AllowChanges || !foreman.CallerFrom(r.Context()).Admin):
		rt.form.fail(w, http.StatusForbidden, "calls that change the model server are not allowed here")
	case rt.kind == changing:
		s.change(w, r, servers[0])
	case rt.kind == generation && r.Method == http.MethodPost:
		s.inTurn(w, r, rt.form)
	default:
		s.read(w, r, rt.form, servers)
	}
}

// serversOf are those that have a path.
func (s *surface) serversOf(path string) []server {
	if onV1(path) {
		return s.servers
	}
	var out []server
	for _, one := range s.servers {
		if one.api == OllamaAPI {
			out = append(out, one)
		}
	}
	return out
}

// write writes to a caller; one that has gone is not told anything any more.
func write(w io.Writer, b []byte) { _, _ = w.Write(b) }
