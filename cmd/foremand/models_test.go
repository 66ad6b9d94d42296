package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

// What the config file says of one model holds for it in place of the flags, by
// whatever name it is asked for.
func TestLimitsOfOneModel(t *testing.T) {
	step := make(chan struct{})
	server := ollamatest.New(t, &ollamatest.Options{
		Models: map[string]ollamatest.Behavior{"one": {Step: step}, "three": {Step: step}}, Parallel: 8, MaxLoaded: 2,
	})
	t.Cleanup(func() { close(step) })
	file := filepath.Join(t.TempDir(), "foreman.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
models:
  one: {per-slot: 1}
  "three:latest": {per-slot: 3}
`), 0o600))
	p := start(t, "-ollama", server.URL(), "-slots", "2", "-per-slot", "2", "-config", file)
	for range 2 {
		for _, model := range []string{"one", "one:latest", "three", "THREE"} {
			post(t, p.url+"/jobs", chat(model)).job(t)
		}
	}
	chats := func() int { return len(server.Requests("/api/chat")) }
	require.Eventually(t, func() bool { return chats() == 1+3 }, patience, 5*time.Millisecond)
	q := string(get(t, p.url+"/queue").body)
	require.Contains(t, q, `"places":1`)
	require.Contains(t, q, `"places":3`)
}
