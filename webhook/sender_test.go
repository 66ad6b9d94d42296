package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

func message(url string) webhook.Message {
	return webhook.Message{URL: url, ID: "evt_1", Body: []byte(`{"a":1}`), Attempt: 1}
}

func TestSendRequest(t *testing.T) {
	const secret = githubSecret
	r := listen(t, status(http.StatusNoContent))
	s := newSender(t, webhook.SenderOptions{Secret: secret})
	before := time.Now()
	out := s.Send(t.Context(), message(r.URL+"/hook?a=b"))

	require.Equal(t, webhook.Delivered, out.Result)
	require.Equal(t, http.StatusNoContent, out.Status)
	require.NoError(t, out.Err)
	require.Positive(t, out.Duration)

	require.Len(t, r.requests(), 1)
	got := r.requests()[0]
	require.Equal(t, "POST", got.method)
	require.Equal(t, "/hook", got.path)
	require.Equal(t, `{"a":1}`, got.body)
	require.Equal(t, []string{"application/json"}, got.header.Values("Content-Type"))
	require.Equal(t, []string{"foreman-webhook/1"}, got.header.Values("User-Agent"))
	require.Equal(t, []string{"evt_1"}, got.header.Values("webhook-id"))
	require.Empty(t, got.header.Values("Accept-Encoding"))

	seconds, err := strconv.ParseInt(got.header.Get("webhook-timestamp"), 10, 64)
	require.NoError(t, err)
	require.WithinRange(t, time.Unix(seconds, 0), before.Truncate(time.Second), time.Now())

	require.Equal(t, []string{"sha256=" + hex.EncodeToString(sum([]byte(secret), got.body))},
		got.header.Values("X-Foreman-Signature"))
	require.True(t, webhook.VerifySignature([]byte(got.body), got.header.Get("X-Foreman-Signature"), secret))
	require.Equal(t, []string{"v1," + base64.StdEncoding.EncodeToString(standardSum([]byte(secret), got))},
		got.header.Values("webhook-signature"))
}

// sum is an HMAC-SHA256 by hand.
func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func standardSum(key []byte, r request) []byte {
	return sum(key, r.header.Get("webhook-id")+"."+r.header.Get("webhook-timestamp")+"."+r.body)
}

func TestSendSecrets(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	for name, c := range map[string]struct {
		secret          string
		standard, plain []byte
	}{
		"any string":          {"a secret", []byte("a secret"), []byte("a secret")},
		"not UTF-8":           {"\xff\x00", []byte("\xff\x00"), []byte("\xff\x00")},
		"Standard Webhooks":   {"whsec_" + base64.StdEncoding.EncodeToString(key), key, []byte("whsec_" + base64.StdEncoding.EncodeToString(key))},
		"prefix in the midst": {"x whsec_AAAA", []byte("x whsec_AAAA"), []byte("x whsec_AAAA")},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, status(http.StatusOK))
			s := newSender(t, webhook.SenderOptions{Secret: c.secret})
			require.Equal(t, webhook.Delivered, s.Send(t.Context(), message(r.URL)).Result)
			got := r.requests()[0]
			require.Equal(t, "sha256="+hex.EncodeToString(sum(c.plain, got.body)), got.header.Get("X-Foreman-Signature"))
			require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(standardSum(c.standard, got)), got.header.Get("webhook-signature"))
		})
	}
}

func TestSendUnsigned(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	require.Equal(t, webhook.Delivered, newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL)).Result)
	got := r.requests()[0].header
	require.Empty(t, got.Values("X-Foreman-Signature"))
	require.Empty(t, got.Values("webhook-signature"))
	require.NotEmpty(t, got.Get("webhook-id"))
	require.NotEmpty(t, got.Get("webhook-timestamp"))
}

func TestNewSenderRefusesSecret(t *testing.T) {
	for name, secret := range map[string]string{
		"nothing after the prefix": "whsec_",
		"not base64":               "whsec_%%%%",
		"no padding":               "whsec_AAAAAA",
		"URL alphabet":             "whsec_-_-_",
		"line break at the end":    "whsec_AAAA\n",
		"space at the end":         "whsec_AAAA ",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.NewSender(&webhook.SenderOptions{Secret: secret})
			require.ErrorContains(t, err, "whsec_")
			require.NotContains(t, err.Error(), "AAAA")
			require.NotContains(t, err.Error(), "%%%%")
		})
	}
}

func TestSendStatus(t *testing.T) {
	for code, want := range map[int]webhook.Result{
		200: webhook.Delivered, 201: webhook.Delivered, 202: webhook.Delivered, 204: webhook.Delivered, 299: webhook.Delivered,
		300: webhook.Retry, 304: webhook.Retry, 399: webhook.Retry,
		400: webhook.Retry, 401: webhook.Retry, 404: webhook.Retry, 409: webhook.Retry, 415: webhook.Retry, 429: webhook.Retry,
		410: webhook.Stop,
		500: webhook.Retry, 501: webhook.Retry, 503: webhook.Retry, 599: webhook.Retry, 999: webhook.Retry,
	} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			r := listen(t, status(code))
			out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
			require.Equal(t, want, out.Result)
			require.Equal(t, code, out.Status)
			require.Zero(t, out.RetryAfter)
			if want == webhook.Delivered {
				require.NoError(t, out.Err)
			} else {
				require.ErrorContains(t, out.Err, strconv.Itoa(code))
			}
		})
	}
}

func TestSendRedirect(t *testing.T) {
	target := listen(t, status(http.StatusOK))
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", target.URL)
				w.WriteHeader(code)
			})
			out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
			require.Equal(t, webhook.Retry, out.Result)
			require.Equal(t, code, out.Status)
			require.ErrorContains(t, out.Err, "redirects are not followed")
			require.Len(t, r.requests(), 1)
		})
	}
	require.Empty(t, target.requests())
}

func TestSendRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		status int
		value  string
		want   time.Duration
		delta  time.Duration
	}{
		"seconds on 429":    {429, "120", 2 * time.Minute, 0},
		"seconds on 503":    {503, "7", 7 * time.Second, 0},
		"not on 500":        {500, "7", 0, 0},
		"not on 410":        {410, "7", 0, 0},
		"zero":              {429, "0", 0, 0},
		"a date":            {429, in(time.Hour), time.Hour, 5 * time.Second},
		"a date gone by":    {429, in(-time.Hour), 0, 0},
		"a date far away":   {429, in(1000 * time.Hour), 24 * time.Hour, 0},
		"a week":            {429, "604800", 24 * time.Hour, 0},
		"more than 64 bits": {429, "99999999999999999999999", 24 * time.Hour, 0},
		"largest uint64":    {429, "18446744073709551615", 24 * time.Hour, 0},
		"negative":          {429, "-5", 0, 0},
		"a fraction":        {429, "1.5", 0, 0},
		"nonsense":          {429, "soon", 0, 0},
		"empty":             {429, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.value)
				w.WriteHeader(c.status)
			})
			out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
			require.InDelta(t, c.want, out.RetryAfter, float64(c.delta))
		})
	}
}

func TestSendCannotSend(t *testing.T) {
	s := newSender(t, webhook.SenderOptions{})
	for name, m := range map[string]webhook.Message{
		"URL without scheme": {URL: "127.0.0.1/hook", ID: "1"},
		"other scheme":       {URL: "ftp://127.0.0.1/hook", ID: "1"},
		"no host":            {URL: "http:///hook", ID: "1"},
		"port only":          {URL: "http://:80/hook", ID: "1"},
		"empty URL":          {ID: "1"},
		"broken URL":         {URL: "http://user:topsecret/@127.0.0.1/", ID: "1"},
		"no ID":              {URL: "http://127.0.0.1:1/"},
		"ID with a dot":      {URL: "http://127.0.0.1:1/", ID: "a.b"},
		"ID with a space":    {URL: "http://127.0.0.1:1/", ID: "a b"},
		"ID with a break":    {URL: "http://127.0.0.1:1/", ID: "a\r\nX-Evil: 1"},
		"ID not ASCII":       {URL: "http://127.0.0.1:1/", ID: "é"},
		"long ID":            {URL: "http://127.0.0.1:1/", ID: strings.Repeat("a", 257)},
	} {
		t.Run(name, func(t *testing.T) {
			out := s.Send(t.Context(), m)
			require.Equal(t, webhook.GiveUp, out.Result)
			require.Zero(t, out.Status)
			require.ErrorContains(t, out.Err, "webhook: ")
			require.NotContains(t, out.Err.Error(), "topsecret")
		})
	}
}

func TestSendUserInfo(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	url := strings.Replace(r.URL, "http://", "http://me:p%40ss@", 1)
	require.Equal(t, webhook.Delivered, newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(url)).Result)
	user, password, ok := (&http.Request{Header: r.requests()[0].header}).BasicAuth()
	require.True(t, ok)
	require.Equal(t, [2]string{"me", "p@ss"}, [2]string{user, password})
}

func TestSendTimeout(t *testing.T) {
	end := make(chan struct{})
	for name, answer := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { <-end },
		"header that does not end": func(w http.ResponseWriter, _ *http.Request) {
			conn := hijack(w)
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Slow: ")
			<-end
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, answer)
			t.Cleanup(func() { end <- struct{}{} })
			out := newSender(t, webhook.SenderOptions{Timeout: 50 * time.Millisecond}).Send(t.Context(), message(r.URL))
			require.Equal(t, webhook.Retry, out.Result)
			require.Zero(t, out.Status)
			require.ErrorIs(t, out.Err, context.DeadlineExceeded)
			require.ErrorContains(t, out.Err, "no answer within 50ms")
			require.GreaterOrEqual(t, out.Duration, 50*time.Millisecond)
			require.Less(t, out.Duration, 10*time.Second)
		})
	}
}

// The status is the receiver's word; it has acted on the event.
func TestSendBodyThatDoesNotEnd(t *testing.T) {
	end := make(chan struct{})
	r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-end
	})
	defer close(end)
	out := newSender(t, webhook.SenderOptions{Timeout: 50 * time.Millisecond}).Send(t.Context(), message(r.URL))
	require.Equal(t, webhook.Delivered, out.Result)
	require.Less(t, out.Duration, 10*time.Second)
}

func TestSendContext(t *testing.T) {
	end := make(chan struct{})
	reached := make(chan struct{})
	r := listen(t, func(http.ResponseWriter, *http.Request) {
		close(reached)
		<-end
	})
	defer close(end)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	go func() {
		<-reached
		cancel(stop)
	}()
	out := newSender(t, webhook.SenderOptions{}).Send(ctx, message(r.URL))
	require.Equal(t, webhook.Retry, out.Result)
	require.ErrorIs(t, out.Err, stop)
}

func TestSendHugeBody(t *testing.T) {
	var sent atomic.Int64
	done := make(chan struct{})
	r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		chunk := make([]byte, 64<<10)
		for sent.Load() < 1<<30 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
	require.Equal(t, webhook.Delivered, out.Result)
	<-done
	require.Less(t, sent.Load(), int64(64<<20), "more than the buffers of two sockets hold")
}

func TestSendHugeHeader(t *testing.T) {
	r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 64<<10))
	})
	out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
	require.Equal(t, webhook.Retry, out.Result)
	require.Error(t, out.Err)
}

func TestSendGzipAnswer(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, err := zip.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	for name, body := range map[string][]byte{"a bomb": bomb.Bytes(), "not gzip at all": []byte("plain")} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(body)
			})
			out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
			require.Equal(t, webhook.Delivered, out.Result)
			require.Empty(t, r.requests()[0].header.Get("Accept-Encoding"))
		})
	}
}

func TestSendUsesConnectionsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		size        int
		connections int32
	}{
		"no body":    {0, 1},
		"at most":    {16 << 10, 1},
		"beyond it":  {1 << 20, 5},
		"small body": {100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(c.size))
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write(make([]byte, c.size))
			}))
			srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			srv.Start()
			defer srv.Close()
			s := newSender(t, webhook.SenderOptions{})
			for range 5 {
				require.Equal(t, 500, s.Send(t.Context(), message(srv.URL)).Status)
			}
			require.Equal(t, c.connections, connections.Load())
		})
	}
}

func TestSendNotHTTP(t *testing.T) {
	for name, answer := range map[string]string{
		"another protocol":  "SSH-2.0-OpenSSH_9.9\r\n",
		"a long line":       strings.Repeat("é", 10_000) + "\r\n\r\n",
		"a malformed field": "HTTP/1.1 200 OK\r\n" + strings.Repeat("x", 5000) + "\r\n\r\n",
		"nothing":           "",
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
				conn := hijack(w)
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			})
			out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL+"/?token=topsecret"))
			require.Equal(t, webhook.Retry, out.Result)
			require.Zero(t, out.Status)
			require.LessOrEqual(t, len(out.Err.Error()), 512)
			require.NotContains(t, out.Err.Error(), "topsecret")
		})
	}
}

// After 101 the connection is the caller's, and no context ends a read of it.
func TestSendSwitchingProtocols(t *testing.T) {
	end := make(chan struct{})
	r := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		conn := hijack(w)
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		<-end
	})
	defer close(end)
	out := newSender(t, webhook.SenderOptions{Timeout: time.Minute}).Send(t.Context(), message(r.URL))
	require.Equal(t, webhook.Retry, out.Result)
	require.Equal(t, 101, out.Status)
	require.Less(t, out.Duration, 10*time.Second)
}

func TestSendNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(url))
	require.Equal(t, webhook.Retry, out.Result)
	require.Error(t, out.Err)
}

func TestSendHTTP2(t *testing.T) {
	var proto atomic.Value
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		if r.URL.Path == "/stall" {
			_, _ = io.Copy(io.Discard, r.Body) // or nobody sees that the sender has gone
			<-r.Context().Done()
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()

	out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(srv.URL))
	require.Equal(t, webhook.Retry, out.Result)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, out.Err, &unknown, "certificates are verified")

	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	s := newSender(t, webhook.SenderOptions{Timeout: time.Second})
	s.Transport().TLSClientConfig = &tls.Config{RootCAs: roots}
	require.Equal(t, webhook.Delivered, s.Send(t.Context(), message(srv.URL)).Result)
	require.Equal(t, "HTTP/1.1", proto.Load(), "though the receiver speaks the other too")
	require.ErrorContains(t, s.Send(t.Context(), message(srv.URL+"/stall")).Err, "no answer within 1s")
}

func TestSendUsesNoProxy(t *testing.T) {
	proxy := listen(t, status(http.StatusOK))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	s := newSender(t, webhook.SenderOptions{})
	require.Nil(t, s.Transport().Proxy)
	r := listen(t, status(http.StatusOK))
	require.Equal(t, webhook.Delivered, s.Send(t.Context(), message(r.URL)).Result)
	require.Empty(t, proxy.requests())
}

func TestSendIsGuarded(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	s, err := webhook.NewSender(nil)
	require.NoError(t, err)
	defer s.Close()
	out := s.Send(t.Context(), message(r.URL))
	require.Equal(t, webhook.Retry, out.Result)
	var refused *webhook.GuardError
	require.ErrorAs(t, out.Err, &refused)
	require.Contains(t, refused.Rule, "loopback")
	require.Empty(t, r.requests())
}

// hijack takes the connection of a request.
func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	return conn
}
