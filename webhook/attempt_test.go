package webhook_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// serveRaw answers each connection on loopback with serve.
func serveRaw(t *testing.T, serve func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr()
}

// closedPort is an address of loopback at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// An attempt says how far it came, where to, and whose fault its end was.
func TestAttemptIsRecorded(t *testing.T) {
	const brief = 200 * time.Millisecond
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	deaf := func(net.Conn) {}
	for name, tc := range map[string]struct {
		url     func(t *testing.T) string
		o       webhook.SenderOptions
		noGuard bool // the default guard, which refuses loopback
		body    int
		phase   webhook.Phase
		fault   webhook.Fault
		status  int
		noAddr  bool
		excerpt string
	}{
		"delivered": {
			url: func(t *testing.T) string { return listen(t, status(200)).URL }, phase: webhook.PhaseBody, status: 200,
		},
		"refused by the guard": {
			url: func(t *testing.T) string { return "http://" + closedPort(t) }, noGuard: true,
			phase: webhook.PhaseConnect, fault: webhook.FaultGuard,
		},
		"nobody listens": {
			url:   func(t *testing.T) string { return "http://" + closedPort(t) },
			phase: webhook.PhaseConnect, fault: webhook.FaultReceiver,
		},
		"no TLS behind https": {
			url:   func(t *testing.T) string { return "https://" + serveRaw(t, deaf).String() },
			phase: webhook.PhaseTLS, fault: webhook.FaultReceiver,
		},
		"certified by nobody we know": {
			url: func(t *testing.T) string {
				srv := newTLSServer(t, status(200))
				return srv.URL
			},
			phase: webhook.PhaseTLS, fault: webhook.FaultReceiver,
		},
		"does not read": {
			url: func(t *testing.T) string {
				end := make(chan struct{})
				addr := serveRaw(t, func(net.Conn) { <-end })
				t.Cleanup(func() { close(end) })
				return "http://" + addr.String()
			},
			body: 32 << 20, o: webhook.SenderOptions{Timeout: brief}, phase: webhook.PhaseWrite, fault: webhook.FaultReceiver,
		},
		"does not answer": {
			url: func(t *testing.T) string { return "http://" + serveRaw(t, hang).String() },
			o:   webhook.SenderOptions{Timeout: brief}, phase: webhook.PhaseHeaders, fault: webhook.FaultReceiver,
		},
		"answers something else": {
			url: func(t *testing.T) string {
				return "http://" + serveRaw(t, func(c net.Conn) {
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, "220 mail ready\r\n")
				}).String()
			},
			phase: webhook.PhaseHeaders, fault: webhook.FaultReceiver, excerpt: "mail",
		},
		"answers an error": {
			url: func(t *testing.T) string {
				return listen(t, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, "no \x00\xff field: a\n"+strings.Repeat("x", 1000))
				}).URL
			},
			phase: webhook.PhaseBody, fault: webhook.FaultReceiver, status: 400,
			excerpt: "no .. field: a\n" + strings.Repeat("x", 241),
		},
		"never ends its answer": {
			url: func(t *testing.T) string {
				return listen(t, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = io.WriteString(w, "soon")
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
				}).URL
			},
			o: webhook.SenderOptions{Timeout: brief}, phase: webhook.PhaseBody, fault: webhook.FaultReceiver, status: 503, excerpt: "soon",
		},
		"cannot be sent": {
			url: func(*testing.T) string { return "gopher://127.0.0.1" }, fault: webhook.FaultSender, noAddr: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.noGuard {
				tc.o.Guard = &webhook.Guard{}
			}
			m := message(tc.url(t))
			if tc.body > 0 {
				m.Body = make([]byte, tc.body)
			}
			out := newSender(t, tc.o).Send(t.Context(), m)
			require.Equal(t, tc.phase, out.Phase, "%v", out.Err)
			require.Equal(t, tc.fault, out.Fault)
			require.Equal(t, tc.status, out.Status)
			require.Equal(t, tc.excerpt, out.Response)
			require.Equal(t, tc.fault == "", out.Err == nil)
			if tc.noAddr {
				require.False(t, out.Address.IsValid())
				return
			}
			require.Equal(t, netip.MustParseAddr("127.0.0.1"), out.Address.Addr())
			require.Contains(t, m.URL, out.Address.String())
		})
	}
}

// A name is looked up in vain: the servers of its resolver refuse every connection.
func TestAttemptEndsAtDNS(t *testing.T) {
	s := newSender(t, webhook.SenderOptions{})
	s.SetDialer(&net.Dialer{Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no server")
		},
	}})
	out := s.Send(t.Context(), message("http://receiver.example"))
	require.Equal(t, webhook.PhaseDNS, out.Phase)
	require.Equal(t, webhook.FaultReceiver, out.Fault)
	require.False(t, out.Address.IsValid())
}

// The second attempt uses the connection of the first.
func TestAttemptOnAnOpenConnection(t *testing.T) {
	conns := make(map[string]bool)
	r := listen(t, func(w http.ResponseWriter, req *http.Request) { conns[req.RemoteAddr] = true })
	s := newSender(t, webhook.SenderOptions{})
	for range 3 {
		out := s.Send(t.Context(), message(r.URL))
		require.Equal(t, webhook.Delivered, out.Result)
		require.Equal(t, webhook.PhaseBody, out.Phase)
		require.Equal(t, "http://"+out.Address.String(), r.URL)
	}
	require.Len(t, conns, 1)
}

func TestAttemptCalledOff(t *testing.T) {
	r := listen(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	r.answer = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}
	out := newSender(t, webhook.SenderOptions{}).Send(ctx, message(r.URL))
	require.Equal(t, webhook.Retry, out.Result)
	require.Equal(t, webhook.FaultSender, out.Fault)
}

func newTLSServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func certifiedBy(srv *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

func TestReceiverAsksForACertificate(t *testing.T) {
	ca := newTLSServer(t, status(200)) // for its key pair
	srv := httptest.NewUnstartedServer(status(200))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)

	o := webhook.SenderOptions{RootCAs: certifiedBy(srv)}
	out := newSender(t, o).Send(t.Context(), message(srv.URL))
	require.Equal(t, webhook.Retry, out.Result, "it shows none")
	o.Certificates = ca.TLS.Certificates
	out = newSender(t, o).Send(t.Context(), message(srv.URL))
	require.Equal(t, webhook.Delivered, out.Result, "%v", out.Err)
}

// What a receiver sends in place of HTTP is no part of the error, which more people see
// than its response.
func TestErrorsTellNothingThatWasSent(t *testing.T) {
	for name, answer := range map[string]string{
		"not HTTP":              "220 hunter2\r\n",
		"a header that is none": "HTTP/1.1 200 OK\r\nhunter2\r\n\r\n",
		"a length that is none": "HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n",
		"an unknown encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: hunter2\r\n\r\n",
		"an unknown version":    "HTTP/hunter2 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr := serveRaw(t, func(c net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, answer)
			})
			out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message("http://"+addr.String()))
			require.NotContains(t, out.Err.Error(), "hunter2")
			require.Contains(t, out.Err.Error(), "not HTTP")
			require.Contains(t, out.Response, "hunter2")
		})
	}
}

// A deadline of the caller is as the timeout: the receiver has not answered.
func TestAttemptWithADeadline(t *testing.T) {
	r := listen(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	out := newSender(t, webhook.SenderOptions{}).Send(ctx, message(r.URL))
	require.Equal(t, webhook.FaultReceiver, out.Fault)
	require.Equal(t, webhook.PhaseHeaders, out.Phase)
}
