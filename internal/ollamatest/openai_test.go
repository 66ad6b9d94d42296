package ollamatest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

const (
	openAIStream = `{"model":"llama3","stream":true,"messages":[{"role":"user","content":"a b"}]}`
	openAIWhole  = `{"model":"llama3","messages":[{"role":"user","content":"a b"}]}`
)

// events are the payloads of a stream of events.
func events(t *testing.T, body string) []string {
	t.Helper()
	require.True(t, strings.HasSuffix(body, "\n\n"))
	var out []string
	for _, e := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		_, data, ok := strings.Cut("\n"+e, "\ndata: ")
		require.True(t, ok)
		out = append(out, data)
	}
	return out
}

func TestOpenAIChat(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Now: fixed})
	a := post(t, s, "/v1/chat/completions", openAIWhole)
	require.Equal(t, 200, a.status)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.NotEmpty(t, a.header.Get("Content-Length"))
	require.Equal(t, `{"id":"chatcmpl-277","object":"chat.completion","created":1795395723,"model":"llama3","system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{"role":"assistant","content":"a b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}}`+"\n", a.body)

	a = post(t, s, "/v1/chat/completions", openAIStream)
	require.Equal(t, "text/event-stream", a.header.Get("Content-Type"))
	require.Equal(t, []string{"chunked"}, a.transferEncoding)
	got := events(t, a.body)
	require.Len(t, got, 4)
	require.Contains(t, got[0], `"object":"chat.completion.chunk"`)
	require.Contains(t, got[0], `"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}`)
	require.Contains(t, got[2], `"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}`)
	require.Equal(t, "[DONE]", got[3])
	require.NotContains(t, a.body, "usage")

	got = events(t, post(t, s, "/v1/chat/completions", strings.Replace(openAIStream, "{", `{"stream_options":{"include_usage":true},`, 1)).body)
	require.Len(t, got, 5)
	require.Contains(t, got[3], `"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}}`)

	a = post(t, s, "/v1/chat/completions", `{"model":"llama3","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"a b"}]}]}`)
	require.Contains(t, a.body, `"content":"a"},"finish_reason":"length"`)
}

func TestOpenAITools(t *testing.T) {
	calls := []byte(`[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"x":1}}}]`)
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {ToolCalls: calls, Thinking: "hm"}}})
	const want = `"tool_calls":[{"id":"call_1","index":0,"type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},"finish_reason":`
	require.Contains(t, post(t, s, "/v1/chat/completions", openAIWhole).body, `"reasoning":"hm",`+want+`"tool_calls"`)
	got := events(t, post(t, s, "/v1/chat/completions", openAIStream).body)
	require.Len(t, got, 6)
	require.Contains(t, got[3], want+"null")
	require.Contains(t, got[4], `"finish_reason":"tool_calls"`)
}

func TestOpenAICompletions(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Now: fixed})
	a := post(t, s, "/v1/completions", `{"model":"llama3","prompt":"a b"}`)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Contains(t, a.body, `"object":"text_completion","created":1795395723,"model":"llama3","system_fingerprint":"fp_ollama","choices":[{"text":"a b","index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}}`+"\n")

	got := events(t, post(t, s, "/v1/completions", `{"model":"llama3","prompt":"a","stream":true}`).body)
	require.Len(t, got, 3)
	require.Contains(t, got[0], `"choices":[{"text":"a","index":0,"finish_reason":null}],"model":"llama3","system_fingerprint":"fp_ollama"}`)
	require.Equal(t, "[DONE]", got[2])

	got = events(t, post(t, s, "/v1/completions", `{"model":"llama3","prompt":"a","stream":true,"stream_options":{"include_usage":true}}`).body)
	require.Len(t, got, 4)
	require.Contains(t, got[2], `"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`)
}

func TestOpenAIEmbeddings(t *testing.T) {
	s := ollamatest.New(t, nil)
	a := post(t, s, "/v1/embeddings", `{"model":"llama3","input":["a b","c"]}`)
	require.Equal(t, 200, a.status)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Contains(t, a.body, `{"object":"list","data":[{"object":"embedding","embedding":[`)
	require.Contains(t, a.body, `"model":"llama3","usage":{"prompt_tokens":3,"total_tokens":3}}`+"\n")
	require.Contains(t, post(t, s, "/v1/embeddings", `{"model":"llama3","input":"a","encoding_format":"base64"}`).body, `"embedding":"dBRGP4EsIr8="`)
}

func TestOpenAIModels(t *testing.T) {
	s := ollamatest.New(t, nil)
	a := send(t, request(t, s, "GET", "/v1/models", ""))
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Equal(t, `{"object":"list","data":[{"id":"llama3:latest","object":"model","created":1778760000,"owned_by":"library"}]}`+"\n", a.body)
	a = send(t, request(t, s, "GET", "/v1/models/llama3", ""))
	require.Equal(t, `{"id":"llama3","object":"model","created":1778760000,"owned_by":"library"}`+"\n", a.body)
	require.Equal(t, 404, send(t, request(t, s, "GET", "/v1/models/", "")).status)
}

func TestOpenAIErrors(t *testing.T) {
	s := ollamatest.New(t, nil)
	text := `[{"role":"user","content":"a"}]`
	for _, c := range []struct {
		name, path, body string
		status           int
		kind, message    string
	}{
		{"unknown model, chat", "/v1/chat/completions", `{"model":"x","messages":` + text + `}`, 404, "not_found_error", `model 'x' not found`},
		{"unknown model, completions", "/v1/completions", `{"model":"x"}`, 404, "not_found_error", `model 'x' not found`},
		{"unknown model, embeddings", "/v1/embeddings", `{"model":"x","input":"a"}`, 404, "not_found_error", `model \"x\" not found, try pulling it first`},
		{"unknown model, responses", "/v1/responses", `{"model":"x","input":"a"}`, 404, "not_found_error", `model 'x' not found`},
		{"unknown model, responses in a stream", "/v1/responses", `{"model":"x","input":"a","stream":true}`, 404, "not_found_error", `model 'x' not found`},
		{"no body", "/v1/chat/completions", ``, 400, "invalid_request_error", `EOF`},
		{"no body, completions", "/v1/completions", ``, 400, "invalid_request_error", `EOF`},
		{"no body, embeddings", "/v1/embeddings", ``, 400, "invalid_request_error", `EOF`},
		{"no body, responses", "/v1/responses", ``, 400, "invalid_request_error", `EOF`},
		{"cut body", "/v1/chat/completions", `{"model":`, 400, "invalid_request_error", `unexpected EOF`},
		{"malformed", "/v1/completions", `{x`, 400, "invalid_request_error", `invalid character 'x' looking for beginning of object key string`},
		{"wrong type", "/v1/chat/completions", `{"model":1}`, 400, "invalid_request_error", `json: cannot unmarshal number into Go struct field ChatCompletionRequest.model of type string`},
		{"no model, chat", "/v1/chat/completions", `{"messages":` + text + `}`, 400, "invalid_request_error", `model is required`},
		{"no model, completions", "/v1/completions", `{}`, 404, "not_found_error", `model '' not found`},
		{"no model, embeddings", "/v1/embeddings", `{"input":"a"}`, 404, "not_found_error", `model '' not found`},
		{"no messages", "/v1/chat/completions", `{"model":"llama3"}`, 400, "invalid_request_error", `[] is too short - 'messages'`},
		{"no input", "/v1/embeddings", `{"model":"llama3"}`, 400, "invalid_request_error", `invalid input`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, s, c.path, c.body)
			require.Equal(t, c.status, a.status)
			require.Equal(t, `{"error":{"message":"`+c.message+`","type":"`+c.kind+`","param":null,"code":null}}`, strings.TrimSuffix(a.body, "\n"))
			require.Contains(t, a.header.Get("Content-Type"), "application/json")
		})
	}
	a := send(t, request(t, s, "GET", "/v1/models/x", ""))
	require.Equal(t, 404, a.status)
	require.Equal(t, `{"error":{"message":"model 'x' not found","type":"not_found_error","param":null,"code":null}}`+"\n", a.body)
	a = send(t, request(t, s, "GET", "/v1/chat/completions", ""))
	require.Equal(t, 405, a.status)
	require.Equal(t, "POST", a.header.Get("Allow"))
}
