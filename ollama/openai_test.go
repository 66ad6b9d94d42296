package ollama_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// A server of OpenAI's API is asked for nothing but what that has.
func TestOpenAIServerLoadsByItself(t *testing.T) {
	s := ollamatest.New(t, ofOllama(ollamatest.Options{}, "m"))
	b := newBackend(t, &ollama.Options{URL: s.URL() + "/v1", API: ollama.OpenAIAPI})
	require.Equal(t, "Qwen/Qwen3:latest", b.Lane(&foreman.Spec{
		Model: "Qwen/Qwen3:latest", Input: json.RawMessage(`{"options":{"num_ctx":8192}}`),
	}))
	require.Equal(t, "qwen/qwen3", b.Model("Qwen/Qwen3:latest"), "as for an Ollama, on which it may be found to be")
	require.NoError(t, b.Load(t.Context(), "m", nil))
	lanes, err := b.Loaded(t.Context())
	require.NoError(t, err)
	require.Empty(t, lanes)
	require.Empty(t, s.Requests("/api/generate"))
	require.Empty(t, s.Requests("/api/ps"))

	s.Wedge(true)
	timesOut(t, b, `{"model":"m","messages":[{"role":"user","content":"a"}]}`, 50*time.Millisecond)
	require.NoError(t, b.Check(limited(t)), "it cannot be asked what is loaded")
	require.True(t, b.Has("m"), "the list of models is what it can be asked for")
	require.Empty(t, s.Requests("/api/version"))
}
