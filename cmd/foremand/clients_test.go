package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/clients"
	"github.com/foreman-go/foreman/internal/ollamatest"
)

// The program itself, with its limits on headers and its guard against foreign pages,
// answers with the bytes of the server. A page may send a GET, whose answer its browser
// keeps from it.
func TestBytesAreThoseOfOllama(t *testing.T) {
	double := clients.Double(t)
	p := start(t, "-ollama", double.URL(), "-allow-changes")
	clients.SameBytes(t, double.URL(), p.url, "403 Forbidden", "200 OK")
}

// With another server beside it, which has another model, all is the same but the lists.
func TestSeveralServersAreAsOne(t *testing.T) {
	double := clients.Double(t)
	other := ollamatest.New(t, &ollamatest.Options{Now: clients.Now, Models: map[string]ollamatest.Behavior{"other": {}}})
	p := start(t, "-ollama", double.URL()+","+other.URL(), "-allow-changes")
	clients.SameBytes(t, double.URL(), p.url, "403 Forbidden", "200 OK", "read: /api/tags", "read: HEAD /api/tags", "read: /v1/models")
	clients.SameScenes(t, double.URL(), p.url, "ollama: list", "openai: models")
	for _, path := range []string{"/api/chat", "/api/generate", "/v1/chat/completions"} {
		for _, r := range other.Requests(path) {
			require.NotContains(t, string(r.Body), "llama3", path)
		}
	}
}

// The official clients of Ollama and OpenAI for Node see nothing of it, and leave
// nothing behind.
func TestClientsSeeOllama(t *testing.T) {
	double := clients.Double(t)
	p := start(t, "-ollama", double.URL())
	clients.SameScenes(t, double.URL(), p.url)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, double.Wait(ctx, func(s ollamatest.Stats) bool { return s.InFlight == 0 }), "what was aborted has ended")
}
