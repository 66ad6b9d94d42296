package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

// Request is a request for [Raw]. None changes what the server answers to the next,
// so that each can be sent directly and then through a gateway.
type Request struct {
	Name  string
	Bytes []byte
	// Own tells that a gateway may answer in its own words, or has to: the request
	// does not come as far as Ollama, or is not meant for it.
	Own bool
}

// Double plays a server for [Run] and for [Requests].
func Double(tb testing.TB) *ollamatest.Server {
	tb.Helper()
	s := ollamatest.New(tb, &ollamatest.Options{Models: Models(), Now: Now})
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, s.URL()+blobPath(weights), strings.NewReader(weights))
	require.NoError(tb, err)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(tb, err)
	require.NoError(tb, resp.Body.Close())
	return s
}

// weights are in the one blob that the double has.
const weights = "weights"

func blobPath(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "/api/blobs/sha256:" + hex.EncodeToString(sum[:])
}

// raw is a request in bytes; header are further lines of its header.
func raw(method, path, body string, header ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, path)
	if method == http.MethodPost || body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}

func post(path, body string) []byte { return raw(http.MethodPost, path, body) }

func get(path string) []byte { return raw(http.MethodGet, path, "") }

// Requests has a request for each row of what is known of Ollama's answers, on every
// surface that the row is about.
func Requests() []Request {
	var out []Request
	add := func(name string, b []byte) { out = append(out, Request{Name: name, Bytes: b}) }
	own := func(name string, b []byte) { out = append(out, Request{Name: name, Bytes: b, Own: true}) }

	answers(add)
	clientsFaults(add)
	endings(add)
	changes(add)

	for path, allow := range map[string]string{"/api/chat": "GET", "/api/tags": "POST", "/v1/chat/completions": "GET", "/v1/models": "DELETE", "/api/version": "POST"} {
		own("wrong method: "+allow+" "+path, raw(allow, path, ""))
	}
	own("unknown path", get("/api/nothing"))
	own("unknown path, POST", post("/v1/nothing", `{}`))
	own("foreign Host", []byte("GET /api/version HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"))
	own("foreign Origin", raw(http.MethodGet, "/api/version", "", "Origin: https://example.com"))
	own("large header", raw(http.MethodGet, "/api/version", "", "X-Large: "+strings.Repeat("a", 1<<20+8<<10)))
	return out
}
