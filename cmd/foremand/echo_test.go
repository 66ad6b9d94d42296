package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/clients"
)

// The official clients of Ollama and OpenAI work with the echo model, with nothing else
// installed.
func TestClientsOfEcho(t *testing.T) {
	const (
		model = `"model":"echo (not a model: repeats its input)"`
		whole = `{"object":"chat.completion",` + model + `,"choices":[{"index":0,"message":{"role":"assistant","content":"one <two> three"},"finish_reason":"stop"}],
			"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}`
	)
	chunk := func(text, reason string) string {
		return `{"object":"chat.completion.chunk",` + model + `,"choices":[{"index":0,"delta":{"role":"assistant","content":"` + text + `"},"finish_reason":` + reason + `}]}`
	}
	chunks := strings.Join([]string{chunk("one", "null"), chunk(" <two>", "null"), chunk(" three", "null"), chunk("", `"stop"`)}, ",")
	used := `{"object":"chat.completion.chunk",` + model + `,"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}`
	want := map[string]string{
		"ollama: version":                   `{"version":"0.0.0-echo"}`,
		"ollama: ps":                        `{"models":[]}`,
		"ollama: chat":                      `{` + model + `,"message":{"role":"assistant","content":"one <two> three"},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":3}`,
		"openai: models":                    `[["echo","foremand"]]`,
		"openai: model":                     `"echo"`,
		"openai: unknown model, retrieved":  `{"error":{"name":"NotFoundError","status":404,"type":"not_found_error","code":null,"message":"404 model 'none' not found"}}`,
		"openai: chat":                      whole,
		"openai: chat, streamed":            `{"parts":[` + chunks + `]}`,
		"openai: chat, streamed with usage": `{"parts":[` + chunks + `,` + used + `]}`,
	}
	scenes := []string{"ollama: list", "ollama: show", "ollama: chat, streamed", "ollama: generate, streamed"}
	for scene := range want {
		scenes = append(scenes, scene)
	}
	p := start(t, "-dev", "-ollama", "127.0.0.1:1")
	saw := clients.RunOnly(t, p.url, "echo", scenes...)
	for scene, json := range want {
		require.JSONEq(t, json, string(saw[scene]), scene)
	}
	for _, scene := range scenes[:4] {
		require.NotContains(t, string(saw[scene]), `"error"`, scene)
	}
	var streamed struct{ Parts []json.RawMessage }
	require.NoError(t, json.Unmarshal(saw["ollama: chat, streamed"], &streamed))
	require.Len(t, streamed.Parts, 4)
}

// A body for /v1 can be a job of the echo model, as of any other.
func TestEchoOnV1AsAJob(t *testing.T) {
	p := start(t, "-dev", "-ollama", "127.0.0.1:1")
	for _, stream := range []string{"true", "false"} {
		a := post(t, p.url+"/v1/chat/completions", `{"model":"echo","stream":`+stream+`,"messages":[{"role":"user","content":"hello there"}]}`,
			"Prefer: respond-async, wait=10")
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		require.Equal(t, "done", a.job(t).State)
		require.Contains(t, string(a.job(t).Result), `"content":"hello there"`)
		require.Contains(t, string(a.job(t).Result), `"object":"chat.completion"`)
	}
}
