package webhook_test

import (
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/webhook"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run go test -update to write it")
	require.Equal(t, string(want), string(got))
}

// request is what a receiver got.
type request struct {
	at     time.Time
	method string
	path   string
	header http.Header
	body   string
}

// receiver records requests and lets answer answer them.
type receiver struct {
	URL    string
	answer http.HandlerFunc

	mu  sync.Mutex
	got []request
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	r.got = append(r.got, request{time.Now(), req.Method, req.URL.Path, req.Header, string(body)})
	r.mu.Unlock()
	r.answer(w, req)
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

// bodies returns the bodies of the requests in the order in which they came.
func (r *receiver) bodies() []string {
	var bodies []string
	for _, req := range r.requests() {
		bodies = append(bodies, req.body)
	}
	return bodies
}

// listen starts a receiver on loopback.
func listen(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.URL = srv.URL
	return r
}

// status answers with the codes one after the other, and then with the last.
func status(codes ...int) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(codes[0])
		if len(codes) > 1 {
			codes = codes[1:]
		}
	}
}

// loopback allows the receivers of these tests.
func loopback() *webhook.Guard {
	g, err := webhook.NewGuard(&webhook.GuardOptions{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		panic(err)
	}
	return g
}

func newGuard(tb testing.TB, o webhook.GuardOptions) *webhook.Guard {
	tb.Helper()
	g, err := webhook.NewGuard(&o)
	require.NoError(tb, err)
	return g
}

// opening returns a guard that allows prefixes beside public addresses.
func opening(tb testing.TB, prefixes ...string) *webhook.Guard {
	tb.Helper()
	var o webhook.GuardOptions
	for _, p := range prefixes {
		o.Prefixes = append(o.Prefixes, netip.MustParsePrefix(p))
	}
	return newGuard(tb, o)
}

// at is an address on the port of http.
func at(text string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(text), 80) }

func newSender(t *testing.T, o webhook.SenderOptions) *webhook.Sender {
	t.Helper()
	if o.Guard == nil {
		o.Guard = loopback()
	}
	s, err := webhook.NewSender(&o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// pipes is a listener in memory, for time that is not real: a goroutine that
// waits for a socket would hold up the clock of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }
