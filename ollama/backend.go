package ollama

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
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
}

// Backend is an Ollama server as a [foreman.Backend] and [foreman.Checker]. It is
// safe for concurrent use, and starts no goroutines of its own but those that net/http
// has for each connection.
type Backend struct {
	url       *url.URL
	api       API
	transport http.RoundTripper // for jobs
	callers   http.RoundTripper // for those who wait
	proxies   [forms]*httputil.ReverseProxy
	log       *slog.Logger
	maxAnswer int64
}

var (
	_ foreman.Backend = (*Backend)(nil)
	_ foreman.Checker = (*Backend)(nil)
)

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
		api: cmp.Or(o.API, OllamaAPI), transport: o.Transport, callers: o.Transport, log: o.Logger,
		maxAnswer: o.MaxAnswer,
	}
	if b.api != OllamaAPI && b.api != OpenAIAPI {
		return nil, fmt.Errorf("ollama: the API must be %q or %q", OllamaAPI, OpenAIAPI)
	}
	b.url = b.api.base(u)
	if b.transport == nil {
		b.transport, b.callers = newTransport(false), newTransport(true)
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	if b.maxAnswer <= 0 {
		b.maxAnswer = 64 << 20
	}
	b.proxies = b.newProxies()
	return b, nil
}

const checkTimeout = 5 * time.Second

// Check asks the server for its version, or one of OpenAI's API for its models. It returns nil if that is answered within
// five seconds, and otherwise an error that says what to look at.
func (b *Backend) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.JoinPath(b.api.checkPath()).String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("ollama: %w", err)
	}
	r.Header.Set("User-Agent", userAgent)
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		return b.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ollama: %s answers GET %s with %s: is it the right server?", b.url, b.api.checkPath(), resp.Status)
	}
	return nil
}

func (b *Backend) unreachable(err error) error {
	return fmt.Errorf("ollama: cannot reach the model server at %s: is it running? %w", b.url, err)
}
