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
