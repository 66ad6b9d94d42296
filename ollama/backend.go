package ollama

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
}

// Backend is an Ollama server as a [foreman.Backend] and [foreman.Checker]. It is
// safe for concurrent use, and starts no goroutines of its own.
type Backend struct {
	url          *url.URL
	transport    http.RoundTripper
	log          *slog.Logger
	maxAnswer    int64
	maxBody      int64
	writeTimeout time.Duration
}

var (
	_ foreman.Backend = (*Backend)(nil)
	_ foreman.Checker = (*Backend)(nil)
)

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
		url: u, transport: o.Transport, log: o.Logger,
		maxAnswer: o.MaxAnswer, maxBody: o.MaxBody, writeTimeout: o.WriteTimeout,
	}
	if b.transport == nil {
		b.transport = newTransport()
	}
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

const checkTimeout = 5 * time.Second

// Check asks the server for its version. It returns nil if that is answered within
// five seconds, and otherwise an error that says what to look at.
func (b *Backend) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.JoinPath("/api/version").String(), http.NoBody)
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
		return fmt.Errorf("ollama: %s answers GET /api/version with %s: is it an Ollama server?", b.url, resp.Status)
	}
	return nil
}

func (b *Backend) unreachable(err error) error {
	return fmt.Errorf("ollama: cannot reach the model server at %s: is it running? %w", b.url, err)
}
