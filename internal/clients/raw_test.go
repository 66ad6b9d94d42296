package clients_test

import (
	"log/slog"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/clients"
)

func answer(t *testing.T, url string, r clients.Request) clients.Answer {
	t.Helper()
	return clients.Parse(t, r.Bytes, clients.Raw(t, url, r.Bytes))
}

func TestRequests(t *testing.T) {
	s := clients.Double(t)
	statuses := map[string]string{
		"answer": "200 OK", "streamed": "200 OK", "not streamed": "200 OK", "stream not said": "200 OK", "usage": "200 OK", "read": "200 OK",
		"unknown model": "404 Not Found", "busy": "503 Service Unavailable", "empty body": "400 Bad Request", "malformed": "400 Bad Request",
		"cut body": "400 Bad Request", "wrong type": "400 Bad Request", "wrong option": "500 Internal Server Error",
		"wrong method": "405 Method Not Allowed", "unknown path": "404 Not Found", "foreign Host": "403 Forbidden", "foreign Origin": "403 Forbidden",
		"large header": "431 Request Header Fields Too Large", "bad format": "500 Internal Server Error", "large body": "200 OK",
		"repeats, streamed": "200 OK", "repeats, not streamed": "200 OK", "dies, streamed": "200 OK", "cut, streamed": "200 OK",
		"dies, not streamed": "500 Internal Server Error", "blob that exists": "200 OK", "HEAD of an unknown blob": "404 Not Found",
	}
	seen := map[string]bool{}
	for _, r := range clients.Requests() {
		t.Run(r.Name, func(t *testing.T) {
			require.False(t, seen[r.Name], "the name is taken")
			seen[r.Name] = true
			a := answer(t, s.URL(), r)
			kind, _, _ := strings.Cut(r.Name, ":")
			if want, ok := statuses[kind]; ok {
				require.Equal(t, "HTTP/1.1 "+want, a.Status)
			}
			require.Equal(t, !strings.HasPrefix(r.Name, "cut, streamed"), a.Whole)
			require.Equal(t, a, answer(t, s.URL(), r), "asked again")
		})
	}
}

func TestParse(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nX-B: 1\r\nDate: now\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		response, body string
		chunks         []string
		whole          bool
	}{
		"chunked":         {head + "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", []string{"a", "bc"}, true},
		"without its end": {head + "1\r\na\r\n", "a", []string{"a"}, false},
		"cut in a chunk":  {head + "1\r\na\r\n5\r\nbc", "abc", []string{"a", "bc"}, false},
		"of a length":     {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", nil, true},
		"too short":       {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "ab", nil, false},
	} {
		a := clients.Parse(t, []byte("GET / HTTP/1.1\r\n"), []byte(c.response))
		require.Equal(t, c.body, a.Body, name)
		require.Equal(t, c.chunks, a.Chunks, name)
		require.Equal(t, c.whole, a.Whole, name)
	}
	a := clients.Parse(t, nil, []byte(head))
	require.Equal(t, []string{"Transfer-Encoding: chunked", "X-B: 1"}, a.Header)
	require.True(t, clients.Parse(t, []byte("HEAD / HTTP/1.1\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")).Whole)
}

// The simplest gateway passes on what it is to pass on: what is left out of the
// comparison is enough, and not too much.
func TestThroughAProxy(t *testing.T) {
	s := clients.Double(t)
	target, err := url.Parse(s.URL())
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	})
	defer proxy.Close()
	for _, r := range clients.Requests() {
		if !r.Own {
			require.Equal(t, answer(t, s.URL(), r).Joined(), answer(t, proxy.URL, r).Joined(), r.Name)
		}
	}
}
