package clients_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/internal/clients"
	"github.com/foreman-go/foreman/internal/ollamatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the clients see of the double is what they saw of Ollama.
func TestRun(t *testing.T) {
	s := clients.Double(t)
	saw := clients.Run(t, s.URL())
	for scene, want := range map[string]string{
		"ollama: chat":                  `{"model":"llama3","message":{"role":"assistant","content":"one <two> three"},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":3}`,
		"ollama: unknown model, chat":   `{"error":{"name":"ResponseError","kind":"ResponseError","status":404,"message":"model 'none' not found"}}`,
		"ollama: unknown model, embed":  `{"error":{"name":"ResponseError","kind":"ResponseError","status":404,"message":"model \"none\" not found, try pulling it first"}}`,
		"ollama: bad option":            `{"error":{"name":"ResponseError","kind":"ResponseError","status":500,"message":"option \"num_ctx\" must be of type integer"}}`,
		"openai: chat":                  `{"object":"chat.completion","model":"llama3","system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{"role":"assistant","content":"one <two> three"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}`,
		"openai: unknown model, chat":   `{"error":{"name":"NotFoundError","status":404,"type":"not_found_error","code":null,"message":"404 model 'none' not found"}}`,
		"openai: dies, not streamed":    `{"error":{"name":"InternalServerError","status":500,"type":"api_error","code":null,"message":"500 an error was encountered while running the model: unexpected EOF"}}`,
		"openai: aborted":               `{"enough":true}`,
		"openai: model":                 `"llama3"`,
		"openai: embeddings, as floats": `{"object":"list","data":[{"object":"embedding","embedding":[-0.14302124,-0.9897196],"index":0}],"model":"llama3","usage":{"prompt_tokens":1,"total_tokens":1}}`,
	} {
		require.JSONEq(t, want, string(saw[scene]), scene)
	}

	type seen struct {
		Enough bool
		Parts  []json.RawMessage
		Error  *struct{ Name, Kind, Message string }
	}
	of := func(scene string) (v seen) {
		require.NoError(t, json.Unmarshal(saw[scene], &v), scene)
		return v
	}
	require.True(t, of("ollama: aborted").Enough)
	require.Equal(t, "AbortError", of("ollama: aborted").Error.Kind)
	for scene, parts := range map[string]int{
		"ollama: chat, streamed": 4, "ollama: generate, streamed": 4, "openai: chat, streamed": 4,
		"openai: chat, streamed with usage": 5, "openai: completions, streamed": 4, "openai: responses, streamed": 11,
		"openai: repeats itself": 2, "openai: dies": 3,
	} {
		require.Nil(t, of(scene).Error, scene)
		require.Len(t, of(scene).Parts, parts, scene)
	}
	require.Len(t, of("ollama: repeats itself").Parts, 2)
	require.Equal(t, "Did not receive done or success response in stream.", of("ollama: repeats itself").Error.Message)
	require.Equal(t, "an error was encountered while running the model: unexpected EOF", of("ollama: dies").Error.Message)
	for _, scene := range []string{"ollama: is cut off", "openai: is cut off"} {
		require.NotNil(t, of(scene).Error, scene)
	}
	for scene, v := range saw {
		require.NotContains(t, string(v), `"TypeError","message":"fetch failed"`, scene)
		require.False(t, strings.Contains(string(v), "2026-"), "%s tells the time", scene)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, s.Wait(ctx, func(st ollamatest.Stats) bool { return st.InFlight == 0 }), "what was aborted has ended")
	require.Equal(t, 2, s.Stats().Of("slow").Requests)
}

// What is said is the same every time, so that it can be compared.
func TestRunAgain(t *testing.T) {
	s := clients.Double(t)
	require.Equal(t, clients.Run(t, s.URL()), clients.Run(t, s.URL()))
}
