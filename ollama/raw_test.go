package ollama_test

import (
	"net/http/httptest"
	"testing"

	"github.com/foreman-go/foreman/internal/clients"
	"github.com/foreman-go/foreman/ollama"
)

// newGateway is a gateway in front of the double that the requests of package clients
// are for, with everything allowed.
func newGateway(t *testing.T) (direct, through string) {
	t.Helper()
	double := clients.Double(t)
	b := newBackend(t, &ollama.Options{URL: double.URL()})
	f, _ := newForeman(t, b, nil)
	front := httptest.NewServer(ollama.Handler(f, &ollama.HandlerOptions{AllowChanges: true}))
	t.Cleanup(front.Close)
	return double.URL(), front.URL
}

// The answers to all of the requests are the same, byte for byte. Whoever mounts the
// handler says who may call it.
func TestBytesAreThoseOfOllama(t *testing.T) {
	direct, through := newGateway(t)
	clients.SameBytes(t, direct, through, "200 OK", "200 OK")
}

// What the official clients see is the same.
func TestClientsSeeOllama(t *testing.T) {
	direct, through := newGateway(t)
	clients.SameScenes(t, direct, through)
}
