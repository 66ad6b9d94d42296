package ollama

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/foreman-go/foreman"
)

// Options are for [New]. Nil stands for the zero value.
type Options struct {
	// URL is where Ollama listens, in any form that OLLAMA_HOST has: host,
	// host:port, :port, or with http:// or https:// before it and a path behind. A
	// missing port is 11434, or that of the scheme if one is given; an address that
	// stands for every interface, such as 0.0.0.0, is reached on loopback. If URL is
	// empty, http://127.0.0.1:11434 is used.
	URL string
	// API is what the server speaks. If API is empty, [OllamaAPI] is used.
	API API
	// Key is shown to the server as a bearer token (RFC 6750), in place of what callers
	// show. If Key is empty, what callers show is passed on.
	Key string
	// Transport sends the requests. It should set no limit on the time until the
	// headers come, since Ollama sends them with the first token. For jobs it should use
	// each connection once: an attempt that fails because an idle connection was gone
	// cannot be told from one that killed the server. If Transport is nil, two are
	// used: one for jobs that does so, and one for callers that keeps up to 64
	// connections for 30 seconds, as clients of a model server do. Neither takes a proxy
	// from the environment.
	Transport http.RoundTripper
	// Logger gets what nobody else is told. Payloads are never logged. If Logger is
	// nil, slog.Default() is used.
	Logger *slog.Logger

	// MaxAnswer bounds the answer to a job in bytes, as Ollama sends it; it is kept
	// in memory until it is whole. If MaxAnswer is 0, 64 MiB is used.
	MaxAnswer int64

	// LoadTimeout bounds one load of a model, with the unloads before it. If
	// LoadTimeout is 0, ten minutes is used.
	LoadTimeout time.Duration
	// KeepAlive is how long Ollama keeps a model that nobody asks for, from when
	// Foreman has had it loaded; negative for ever. What a request says itself counts
	// from then on. If KeepAlive is 0, it is up to Ollama (OLLAMA_KEEP_ALIVE there).
	KeepAlive time.Duration
	// Silence is how long the server can send nothing of an answer that is streamed
	// before it is suspect: then it is probed, whether it generates at all. Nothing is
	// ended for it. It should be longer than the longest prompt is read; an answer in one
	// piece, of which nothing comes until it is whole, has six times as long. If Silence
	// is 0, five minutes is used; if it is negative, silence is not suspect.
	Silence time.Duration
}

// Backend is an Ollama server as a [foreman.Backend] that is also a [foreman.Laner], a
// [foreman.Loader], a [foreman.Doubter] and a [foreman.Follower]. It is safe for concurrent use, and starts no
// goroutines of its own but those that net/http has for each connection.
type Backend struct {
	url         *url.URL
	api         API
	transport   http.RoundTripper // for jobs
	callers     http.RoundTripper // for those who wait
	plain       http.RoundTripper // for what Foreman asks itself
	proxies     [forms]*httputil.ReverseProxy
	log         *slog.Logger
	maxAnswer   int64
	loadTimeout time.Duration
	keepAlive   time.Duration

	fleet   *fleet                              // that it is one of, or all of
	models  atomic.Pointer[map[string]struct{}] // that it has; nil until it is known
	changed atomic.Pointer[func()]              // to be called when those are others

	held    held
	known   known
	silence time.Duration
	silent  atomic.Pointer[suspicion] // nil while the server is not suspect
	doubts  chan struct{}             // holds a token when the server has become suspect
	probing chan struct{}             // holds a token while the server is being probed
}

var _ foreman.Backend = (*Backend)(nil)

// New makes a Backend. It connects to nothing. The error says what is wrong with the
// URL or the API.
func New(o *Options) (*Backend, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("ollama: %w", err)
	}
	b := &Backend{
		api: cmp.Or(o.API, OllamaAPI), plain: o.Transport, callers: o.Transport, log: o.Logger,
		maxAnswer: o.MaxAnswer, loadTimeout: o.LoadTimeout, keepAlive: o.KeepAlive,
		held: held{of: map[string]*holding{}}, known: known{at: map[string]time.Time{}},
		silence: cmp.Or(o.Silence, 5*time.Minute),
		doubts:  make(chan struct{}, 1), probing: make(chan struct{}, 1),
	}
	if b.api != OllamaAPI && b.api != OpenAIAPI {
		return nil, fmt.Errorf("ollama: the API must be %q or %q", OllamaAPI, OpenAIAPI)
	}
	b.url = b.api.base(u)
	if b.plain == nil {
		b.plain, b.callers = newTransport(false), newTransport(true)
	}
	if strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("ollama: the key must be of printable ASCII characters, without spaces") // not quoted: it is a secret
	}
	if o.Key != "" {
		b.plain, b.callers = &keyed{b.plain, o.Key}, &keyed{b.callers, o.Key}
	}
	b.transport, b.callers = &witness{b, b.plain}, &witness{b, b.callers}
	if b.log == nil {
		b.log = slog.Default()
	}
	if b.maxAnswer <= 0 {
		b.maxAnswer = 64 << 20
	}
	if b.loadTimeout <= 0 {
		b.loadTimeout = 10 * time.Minute
	}
	b.proxies = b.newProxies()
	b.fleet = newFleet([]*Backend{b})
	return b, nil
}
