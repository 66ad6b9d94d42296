package ollamatest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

func fixed() time.Time { return time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC) }

func TestErrors(t *testing.T) {
	s := ollamatest.New(t, nil)
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"unknown model, chat", "/api/chat", `{"model":"x","messages":[]}`, 404, `{"error":"model 'x' not found"}`},
		{"unknown model, generate", "/api/generate", `{"model":"x"}`, 404, `{"error":"model 'x' not found"}`},
		{"unknown model, embed", "/api/embed", `{"model":"x"}`, 404, `{"error":"model \"x\" not found, try pulling it first"}`},
		{"unknown model, show", "/api/show", `{"model":"x"}`, 404, `{"error":"model 'x' not found"}`},
		{"unknown model, unload", "/api/chat", `{"model":"x","keep_alive":0}`, 404, `{"error":"model 'x' not found"}`},
		{"no body", "/api/chat", "", 400, `{"error":"missing request body"}`},
		{"cut body", "/api/generate", `{"model":`, 400, `{"error":"unexpected EOF"}`},
		{"malformed", "/api/embed", `{x`, 400, `{"error":"invalid character 'x' looking for beginning of object key string"}`},
		{"wrong type", "/api/chat", `{"model":1}`, 400, `{"error":"json: cannot unmarshal number into Go struct field ChatRequest.model of type string"}`},
		{"no model, chat", "/api/chat", `{}`, 400, `{"error":"model is required"}`},
		{"no model, show", "/api/show", `{}`, 400, `{"error":"model is required"}`},
		{"no model, generate", "/api/generate", `{}`, 404, `{"error":"model '' not found"}`},
		{"no model, embed", "/api/embed", `{}`, 404, `{"error":"model '' not found"}`},
		{"wrong option", "/api/generate", `{"model":"llama3","prompt":"a","options":{"num_ctx":"many"}}`, 500, `{"error":"option \"num_ctx\" must be of type integer"}`},
		{"wrong option of another kind", "/api/chat", `{"model":"llama3","messages":[{"role":"user","content":"a"}],"options":{"use_mmap":1}}`, 500, `{"error":"option \"use_mmap\" must be of type boolean"}`},
		{"unknown model, embeddings", "/api/embeddings", `{"model":"x"}`, 404, `{"error":"model \"x\" not found, try pulling it first"}`},
		{"keep_alive without a unit", "/api/chat", `{"model":"llama3","keep_alive":"300"}`, 400, `{"error":"time: missing unit in duration \"300\""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, s, c.path, c.body)
			require.Equal(t, c.status, a.status)
			require.Equal(t, "application/json; charset=utf-8", a.header.Get("Content-Type"))
			require.Equal(t, c.want, a.body)
		})
	}
	require.Zero(t, s.Stats().Loads)
}

func TestFormatAndLength(t *testing.T) {
	s := ollamatest.New(t, nil)
	for _, c := range []struct {
		name, more string
		status     int
		want       string
	}{
		{"bad format", `"format":"xml"`, 500, `{"error":"invalid format: \"\\\"xml\\\"\"; expected \"json\" or a valid JSON Schema object"}`},
		{"JSON", `"format":"json"`, 200, `"response":"a b c"`},
		{"longer than the context", `"options":{"num_ctx":2}`, 200, `"response":"b c"`},
		{"longer than the context, not to be cut", `"truncate":false,"options":{"num_ctx":2}`, 400, `{"error":"the input length exceeds the context length"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, s, "/api/generate", `{"model":"llama3","stream":false,"prompt":"a b c",`+c.more+`}`)
			require.Equal(t, c.status, a.status)
			require.Contains(t, a.body, c.want)
		})
	}
}

func TestPlainErrors(t *testing.T) {
	s := ollamatest.New(t, nil)
	for _, c := range []struct {
		name, method, path string
		status             int
		want, allow        string
	}{
		{"unknown path", "GET", "/api/nothing", 404, "404 page not found", ""},
		{"GET of chat", "GET", "/api/chat", 405, "405 method not allowed", "POST"},
		{"HEAD of ps", "HEAD", "/api/ps", 405, "", "GET"},
		{"GET of delete", "GET", "/api/delete", 405, "405 method not allowed", "DELETE"},
		{"PUT of a blob", "PUT", "/api/blobs/x", 405, "405 method not allowed", "HEAD, POST"},
		{"unknown path below", "POST", "/api/chat/x", 404, "404 page not found", ""},
		{"POST of tags", "POST", "/api/tags", 405, "405 method not allowed", "HEAD, GET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(t, request(t, s, c.method, c.path, ""))
			require.Equal(t, c.status, a.status)
			require.Equal(t, "text/plain", a.header.Get("Content-Type"))
			require.Equal(t, c.allow, a.header.Get("Allow"))
			require.Equal(t, c.want, a.body)
		})
	}
}

func TestForeignHostOrOrigin(t *testing.T) {
	s := ollamatest.New(t, nil)
	r := request(t, s, "GET", "/api/version", "")
	r.Host = "example.com"
	a := send(t, r)
	require.Equal(t, http.StatusForbidden, a.status)
	require.Empty(t, a.body)
	require.Equal(t, 403, send(t, request(t, s, "GET", "/api/version", "", "Origin", "https://example.com")).status)
	require.Equal(t, 200, send(t, request(t, s, "GET", "/api/version", "", "Origin", "http://localhost:3000")).status)
}

func TestLargeHeaders(t *testing.T) {
	s := ollamatest.New(t, nil)
	a := send(t, request(t, s, "GET", "/api/version", "", "X-Large", strings.Repeat("a", 1<<20+8<<10)))
	require.Equal(t, 431, a.status)
	require.Contains(t, a.header.Get("Content-Type"), "text/plain")
	require.Equal(t, 200, send(t, request(t, s, "GET", "/api/version", "", "Authorization", "Bearer x")).status, "ignored")
}

func TestStream(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Now: fixed})
	for _, stream := range []string{``, `,"stream":true`} {
		a := post(t, s, "/api/chat", `{"model":"llama3","messages":[{"role":"user","content":"one  two"}]`+stream+`}`)
		require.Equal(t, 200, a.status)
		require.NoError(t, a.err)
		require.Equal(t, "application/x-ndjson", a.header.Get("Content-Type"))
		require.Equal(t, []string{"chunked"}, a.transferEncoding)
		got := lines(a.body)
		require.Len(t, got, 3)
		require.Equal(t, `{"model":"llama3","created_at":"2026-11-23T01:02:03Z","message":{"role":"assistant","content":"one"},"done":false}`, got[0])
		require.Equal(t, `{"model":"llama3","created_at":"2026-11-23T01:02:03Z","message":{"role":"assistant","content":" two"},"done":false}`, got[1])
		require.Equal(t, `{"model":"llama3","created_at":"2026-11-23T01:02:03Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":3002000,"load_duration":1000000,"prompt_eval_count":2,"prompt_eval_duration":2000,"eval_count":2,"eval_duration":2000000}`, got[2])
	}
}

func TestWhole(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Now: fixed, Models: map[string]ollamatest.Behavior{
		"llama3:8b": {Thinking: "hm", ToolCalls: json.RawMessage(`[{"function":{"name":"f","arguments":{"b":1,"a":2}}}]`)},
	}})
	a := post(t, s, "/api/chat", `{"model":"llama3:8b","stream":false,"messages":[{"role":"user","content":"one two"}]}`)
	require.Equal(t, 200, a.status)
	require.Equal(t, "application/json; charset=utf-8", a.header.Get("Content-Type"))
	require.NotEmpty(t, a.header.Get("Content-Length"))
	require.Equal(t, `{"model":"llama3:8b","created_at":"2026-11-23T01:02:03Z","message":{"role":"assistant","content":"one two","thinking":"hm","tool_calls":[{"function":{"name":"f","arguments":{"b":1,"a":2}}}]},"done":true,"done_reason":"stop","total_duration":3002000,"load_duration":1000000,"prompt_eval_count":2,"prompt_eval_duration":2000,"eval_count":2,"eval_duration":2000000}`, a.body)

	a = post(t, s, "/api/generate", `{"model":"llama3:8b","stream":false,"prompt":"one","options":{"num_predict":3}}`)
	require.Equal(t, 200, a.status)
	require.Contains(t, a.body, `"response":"one","thinking":"hm","done":true,"done_reason":"stop","context":[0,0],`)

	long := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"m": {Tokens: 2000}}})
	a = post(t, long, "/api/generate", `{"model":"m","stream":false,"prompt":"one"}`)
	require.Empty(t, a.header.Get("Content-Length"))
	require.Contains(t, a.body, `"done_reason":"length"`)
}

func TestEmbed(t *testing.T) {
	s := ollamatest.New(t, nil)
	a := post(t, s, "/api/embed", `{"model":"llama3","input":["a b","c"]}`)
	require.Equal(t, 200, a.status)
	var e struct {
		Model           string
		Embeddings      [][]float64
		PromptEvalCount int `json:"prompt_eval_count"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &e))
	require.Equal(t, "llama3", e.Model)
	require.Len(t, e.Embeddings, 2)
	require.Equal(t, 3, e.PromptEvalCount)

	a = post(t, s, "/api/embeddings", `{"model":"llama3","prompt":"a b"}`)
	var old struct{ Embedding []float64 }
	require.NoError(t, json.Unmarshal([]byte(a.body), &old))
	require.Equal(t, e.Embeddings[0], old.Embedding, "the same text")

	require.Equal(t, 400, post(t, s, "/api/embed", `{"model":"llama3","input":[1]}`).status)
	require.Equal(t, `{"model":"llama3","embeddings":[]}`, post(t, s, "/api/embed", `{"model":"llama3"}`).body)
}

func TestReads(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"b": {}, "a:1b": {}}})
	require.Equal(t, `{"version":"0.24.0"}`, send(t, request(t, s, "GET", "/api/version", "")).body)
	require.Equal(t, "Ollama is running", send(t, request(t, s, "GET", "/", "")).body)
	require.Equal(t, 200, send(t, request(t, s, "HEAD", "/", "")).status)
	var list struct {
		Models []struct{ Name, Digest string }
	}
	require.NoError(t, json.Unmarshal([]byte(send(t, request(t, s, "GET", "/api/tags", "")).body), &list))
	require.Len(t, list.Models, 2)
	require.Equal(t, "a:1b", list.Models[0].Name)
	require.Equal(t, "b:latest", list.Models[1].Name)
	require.Contains(t, post(t, s, "/api/show", `{"name":"b"}`).body, `"capabilities":["completion"]`)
	require.Zero(t, s.Stats().Requests, "none of them is for a model")
	require.Len(t, s.Requests("/api/version"), 1)
}

func TestStatusAndBody(t *testing.T) {
	calls := 0
	s := ollamatest.New(t, &ollamatest.Options{Hook: func(r ollamatest.Request, b *ollamatest.Behavior) {
		if calls++; calls == 1 {
			b.Status, b.Body = 500, `{"error":"first"}`
		}
	}})
	require.Equal(t, `{"error":"first"}`, post(t, s, "/api/generate", `{"model":"llama3","prompt":"a"}`).body)
	require.Equal(t, 200, post(t, s, "/api/generate", `{"model":"llama3","prompt":"a"}`).status)
	require.JSONEq(t, `{"model":"llama3","prompt":"a"}`, string(s.Requests("/api/generate")[1].Body))
}
