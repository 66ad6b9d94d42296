package ollama_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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

// The answers to all of the requests are the same, byte for byte, and come in the same
// pieces, but for what the gateway says of the turn.
func TestBytesAreThoseOfOllama(t *testing.T) {
	direct, through := newGateway(t)
	for _, r := range clients.Requests() {
		t.Run(r.Name, func(t *testing.T) {
			want := clients.Parse(t, r.Bytes, clients.Raw(t, direct, r.Bytes))
			got := clients.Parse(t, r.Bytes, clients.Raw(t, through, r.Bytes))
			got.Header = slices.DeleteFunc(got.Header, func(line string) bool { return strings.HasPrefix(line, "X-Foreman-") })
			if r.Own && strings.HasPrefix(r.Name, "foreign") {
				require.Equal(t, "HTTP/1.1 200 OK", got.Status, "whoever mounts it says who may call it")
				return
			}
			if r.Name == "large header" {
				want, got = clients.Answer{Status: want.Status}, clients.Answer{Status: got.Status}
			}
			require.Equal(t, want.Joined(), got.Joined())
		})
	}
}

// What the official clients see is the same.
func TestClientsSeeOllama(t *testing.T) {
	direct, through := newGateway(t)
	want, got := clients.Run(t, direct), clients.Run(t, through)
	for scene, saw := range want {
		require.Equal(t, string(saw), string(got[scene]), scene)
	}
	var aborted struct{ Enough bool }
	require.NoError(t, json.Unmarshal(got["openai: aborted"], &aborted))
	require.True(t, aborted.Enough)
}
