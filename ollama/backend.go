package ollama

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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
	// Transport sends the requests. It should set no limit on the time until the
	// headers come, since Ollama sends them with the first token, and use each
	// connection once: a request that fails because an idle connection was gone
	// cannot be told from one that killed the server. If Transport is nil, one is
	// used that does so, and takes no proxy from the environment.
	Transport http.RoundTripper
	// Logger gets what nobody else is told. Payloads are never logged. If Logger is
	// nil, slog.Default() is used.
	Logger *slog.Logger

	// MaxAnswer bounds the answer to a job in bytes, as Ollama sends it; it is kept
	// in memory until it is whole. If MaxAnswer is 0, 64 MiB is used.
	MaxAnswer int64
	// MaxBody bounds the request body of a caller who waits; it is kept in memory
	// until its turn has come. If MaxBody is 0, 64 MiB is used.
	MaxBody int64
	// WriteTimeout is how long a caller who waits can take nothing of what is sent
	// before the connection is cut, so that it cannot keep a slot for ever. If
	// WriteTimeout is 0, 30 seconds is used.
	WriteTimeout time.Duration

	// LoadTimeout bounds one load of a model, with the unloads before it. If
	// LoadTimeout is 0, ten minutes is used.
	LoadTimeout time.Duration
	// KeepAlive is how long Ollama keeps a model that nobody asks for, from when
	// Foreman has had it loaded; negative for ever. What a request says itself counts
	// from then on. If KeepAlive is 0, it is up to Ollama (OLLAMA_KEEP_ALIVE there).
	KeepAlive time.Duration
}

// Backend is an Ollama server as a [foreman.Backend] that is also a [foreman.Laner], a
// [foreman.Loader] and a [foreman.Checker]. It is safe for concurrent use, and starts no
// goroutines of its own.
type Backend struct {
	url          *url.URL
	transport    http.RoundTripper // for what jobs and callers ask
	plain        http.RoundTripper // for what Foreman asks itself
	log          *slog.Logger
	maxAnswer    int64
	maxBody      int64
	writeTimeout time.Duration
	loadTimeout  time.Duration
	keepAlive    time.Duration

	held    held
	silent  atomic.Pointer[string] // the model that said nothing, while the server is suspect
	probing chan struct{}          // holds a token while the server is being probed
}

var _ foreman.Backend = (*Backend)(nil)

// New makes a Backend. It connects to nothing. The error says what is wrong with the
// URL.
func New(o *Options) (*Backend, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("ollama: %w", err)
	}
	b := &Backend{
		url: u, plain: o.Transport, log: o.Logger,
		maxAnswer: o.MaxAnswer, maxBody: o.MaxBody, writeTimeout: o.WriteTimeout,
		loadTimeout: o.LoadTimeout, keepAlive: o.KeepAlive,
		held: held{of: map[string]*holding{}}, probing: make(chan struct{}, 1),
	}
	if b.plain == nil {
		b.plain = newTransport()
	}
	b.transport = &witness{b, b.plain}
	if b.log == nil {
		b.log = slog.Default()
	}
	if b.maxAnswer <= 0 {
		b.maxAnswer = 64 << 20
	}
	if b.maxBody <= 0 {
		b.maxBody = 64 << 20
	}
	if b.writeTimeout <= 0 {
		b.writeTimeout = 30 * time.Second
	}
	if b.loadTimeout <= 0 {
		b.loadTimeout = 10 * time.Minute
	}
	return b, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives:   true,
		DisableCompression:  true, // what was sent is to be passed on as it is
	}
}
