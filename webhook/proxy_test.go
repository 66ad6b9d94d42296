package webhook_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// egress is a proxy on loopback. It refuses with a status, if it has one, and notes
// what it was asked for.
type egress struct {
	URL    *url.URL
	refuse int
	header http.Header // of a refusal

	mu    sync.Mutex
	asked []*http.Request
}

// What an egress does instead of answering.
const (
	hangUp = -1
	hang   = -2
)

// challenging refuses until it is given a password.
func challenging(t *testing.T) *url.URL {
	e := newEgress(t, http.StatusProxyAuthRequired)
	e.header = http.Header{"Proxy-Authenticate": {"Basic"}}
	return e.URL
}

func newEgress(t *testing.T, refuse int) *egress {
	e := &egress{refuse: refuse}
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	require.NoError(t, err)
	e.URL = u
	return e
}

func (e *egress) requests() []*http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *egress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.asked = append(e.asked, r)
	e.mu.Unlock()
	switch {
	case e.refuse == hangUp:
		panic(http.ErrAbortHandler)
	case e.refuse == hang:
		<-r.Context().Done()
	case e.refuse != 0:
		for name, values := range e.header {
			w.Header()[name] = values
		}
		w.WriteHeader(e.refuse)
	case r.Method == http.MethodConnect:
		e.tunnel(w, r)
	default:
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}
}

func (e *egress) tunnel(w http.ResponseWriter, r *http.Request) {
	to, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	from, read, err := http.NewResponseController(w).Hijack() // something may have been read already
	if err != nil {
		_ = to.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, read)
		_ = to.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(from, to)
		_ = from.Close()
	})
	both.Wait()
}

func TestSendThroughAProxy(t *testing.T) {
	e := newEgress(t, 0)
	e.URL.User = url.UserPassword("us", "pass")
	plain, secure := listen(t, status(200)), newTLSServer(t, status(200))
	s := newSender(t, webhook.SenderOptions{Proxy: e.URL, RootCAs: certifiedBy(secure)})
	for _, to := range []string{plain.URL, secure.URL} {
		out := s.Send(t.Context(), message(to+"/hook"))
		require.Equal(t, webhook.Delivered, out.Result, "%v", out.Err)
		require.Equal(t, e.URL.Host, out.Address.String(), "what was connected to is the proxy")
	}
	asked := e.requests()
	require.Len(t, asked, 2)
	require.Equal(t, plain.URL+"/hook", asked[0].URL.String())
	require.Equal(t, http.MethodConnect, asked[1].Method)
	for _, r := range asked {
		require.NotEmpty(t, r.Header.Get("Proxy-Authorization"))
	}
	require.Len(t, plain.requests(), 1)
	s.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// The faults of our own proxy are not the receiver's.
func TestProxyFaults(t *testing.T) {
	down, err := url.Parse("http://" + closedPort(t))
	require.NoError(t, err)
	secure, plain := "https://"+closedPort(t), "http://"+closedPort(t)
	for name, tc := range map[string]struct {
		proxy func(t *testing.T) *url.URL
		to    string
		fault webhook.Fault
	}{
		"is down":                       {func(*testing.T) *url.URL { return down }, secure, webhook.FaultProxy},
		"is down, plain":                {func(*testing.T) *url.URL { return down }, plain, webhook.FaultProxy},
		"wants a password":              {challenging, secure, webhook.FaultProxy},
		"wants a password, plain":       {challenging, plain, webhook.FaultProxy},
		"has a policy, and says 407":    {func(t *testing.T) *url.URL { return newEgress(t, 407).URL }, secure, webhook.FaultGuard},
		"hangs up":                      {func(t *testing.T) *url.URL { return newEgress(t, hangUp).URL }, secure, webhook.FaultProxy},
		"hangs":                         {func(t *testing.T) *url.URL { return newEgress(t, hang).URL }, secure, webhook.FaultProxy},
		"has no name for them":          {func(t *testing.T) *url.URL { return newEgress(t, 503).URL }, secure, webhook.FaultReceiver},
		"forbids it":                    {func(t *testing.T) *url.URL { return newEgress(t, 403).URL }, secure, webhook.FaultGuard},
		"is broken":                     {func(t *testing.T) *url.URL { return newEgress(t, 500).URL }, secure, webhook.FaultProxy},
		"cannot reach them":             {func(t *testing.T) *url.URL { return newEgress(t, 0).URL }, secure, webhook.FaultReceiver},
		"cannot reach them, plain":      {func(t *testing.T) *url.URL { return newEgress(t, 0).URL }, plain, webhook.FaultReceiver},
		"waited for them long enough":   {func(t *testing.T) *url.URL { return newEgress(t, 504).URL }, secure, webhook.FaultReceiver},
		"speaks TLS that nobody trusts": {func(t *testing.T) *url.URL { return mustParse(t, newTLSServer(t, status(200)).URL) }, secure, webhook.FaultProxy},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := tc.proxy(t)
			out := newSender(t, webhook.SenderOptions{Proxy: proxy, Timeout: time.Second}).Send(t.Context(), message(tc.to))
			require.Equal(t, webhook.Retry, out.Result)
			require.Equal(t, tc.fault, out.Fault, "%v", out.Err)
			unreachable := proxy == down || strings.Contains(name, "TLS")
			require.Equal(t, unreachable, errors.Is(out.Err, webhook.ErrProxyUnreachable), "%v", out.Err)
			require.NotContains(t, out.Err.Error(), proxy.Host, "whose address is the operator's")
		})
	}
}

func mustParse(t *testing.T, s string) *url.URL {
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// The guard cannot see what a proxy dials, but it sees what it is asked for.
func TestProxyDoesNotOpenAddresses(t *testing.T) {
	e := newEgress(t, 0)
	s := newSender(t, webhook.SenderOptions{Proxy: e.URL, Guard: &webhook.Guard{}})
	for _, to := range []string{"http://169.254.169.254/", "https://[::1]/", "http://localhost/", "http://127.1/"} {
		out := s.Send(t.Context(), message(to))
		require.Equal(t, webhook.FaultGuard, out.Fault, to)
	}
	require.Empty(t, e.requests())
}

func TestNewSenderRefusesProxy(t *testing.T) {
	for _, p := range []string{"socks5://127.0.0.1:1080", "127.0.0.1:3128", "http://", "//proxy"} {
		u, err := url.Parse(p)
		if err != nil {
			u = &url.URL{Opaque: p}
		}
		_, err = webhook.NewSender(&webhook.SenderOptions{Proxy: u})
		require.ErrorContains(t, err, "http://host:port", p)
	}
}

// A receiver that cannot be reached is not the fault of a proxy that serves others.
func TestProxyWaitsForTheReceiver(t *testing.T) {
	secure := newTLSServer(t, status(200))
	e := newEgress(t, 0)
	slow := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != mustParse(t, secure.URL).Host {
			close(slow)
			<-r.Context().Done()
			return
		}
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s := newSender(t, webhook.SenderOptions{Proxy: mustParse(t, srv.URL), RootCAs: certifiedBy(secure), Timeout: time.Second})
	ended := make(chan webhook.Outcome)
	go func() { ended <- s.Send(t.Context(), message("https://"+closedPort(t))) }()
	<-slow
	require.Equal(t, webhook.Delivered, s.Send(t.Context(), message(secure.URL)).Result)
	require.Equal(t, webhook.FaultReceiver, (<-ended).Fault)
	s.Close()
}
