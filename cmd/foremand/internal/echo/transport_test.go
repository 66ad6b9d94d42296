package echo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/cmd/foremand/internal/echo"
)

const model = "echo (not a model: repeats its input)"

// line is what the tests look at in an answer.
type line struct {
	Model   string
	Message *struct{ Role, Content string }
	Response,
	DoneReason *string
	Done      bool
	EvalCount int `json:"eval_count"`
	Error     string
}

// send sends a request to the echo model.
func send(ctx context.Context, t *testing.T, rt http.RoundTripper, method, path, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:11434"+path, strings.NewReader(body))
	require.NoError(t, err)
	if body == "" {
		r.Body = nil
	}
	resp, err := rt.RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, resp.Body.Close()) })
	return resp
}

func lines(t *testing.T, r io.Reader) []line {
	t.Helper()
	var all []line
	for s := bufio.NewScanner(r); s.Scan(); {
		var l line
		require.NoError(t, json.Unmarshal(s.Bytes(), &l))
		all = append(all, l)
	}
	return all
}

func TestChat(t *testing.T) {
	const body = `{"model":"echo","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"first"},{"role":"user","content":"hello  there\n you"},{"role":"assistant","content":"no"}]}`
	resp := send(t.Context(), t, echo.Transport{}, http.MethodPost, "/api/chat", body)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	got := lines(t, resp.Body)
	require.Len(t, got, 4)
	for i, want := range []string{"hello", "  there", "\n you", ""} {
		require.Equal(t, model, got[i].Model)
		require.Equal(t, "assistant", got[i].Message.Role)
		require.Equal(t, want, got[i].Message.Content)
		require.Equal(t, i == 3, got[i].Done)
	}
	require.Equal(t, 3, got[3].EvalCount)
}

func TestGenerate(t *testing.T) {
	const body = `{"model":"echo:latest","prompt":"hello there","stream":true,"options":{"temperature":0.5}}`
	got := lines(t, send(t.Context(), t, echo.Transport{}, http.MethodPost, "/v/api/generate", body).Body)
	require.Len(t, got, 3)
	require.Equal(t, "hello", *got[0].Response)
	require.Equal(t, " there", *got[1].Response)
	require.True(t, got[2].Done)
	require.Nil(t, got[2].Message)
}

func TestWhole(t *testing.T) {
	const body = `{"model":"echo","stream":false,"messages":[{"role":"user","content":"hello there"}]}`
	resp := send(t.Context(), t, echo.Transport{}, http.MethodPost, "/api/chat", body)
	require.Equal(t, "application/json; charset=utf-8", resp.Header.Get("Content-Type"))
	got := lines(t, resp.Body)
	require.Len(t, got, 1)
	require.Equal(t, "hello there", got[0].Message.Content)
	require.True(t, got[0].Done)
	require.Equal(t, 2, got[0].EvalCount)
}

func TestCompletions(t *testing.T) {
	ask := func(more string) (contentType, body string) {
		resp := send(t.Context(), t, echo.Transport{}, http.MethodPost, "/v1/chat/completions",
			`{"model":"echo","messages":[{"role":"user","content":[{"type":"text","text":"hello "},{"type":"image_url","image_url":{}},{"type":"text","text":"there"}]}]`+more+`}`)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.Header.Get("Content-Type"), string(b)
	}
	kind, body := ask("")
	require.Equal(t, "application/json; charset=utf-8", kind)
	require.Contains(t, body, `"message":{"role":"assistant","content":"hello there"},"finish_reason":"stop"`)
	require.Contains(t, body, `"total_tokens":4`)

	kind, body = ask(`,"stream":true`)
	require.Equal(t, "text/event-stream", kind)
	events := strings.Split(body, "\n\n")
	require.Len(t, events, 5)
	for i, want := range []string{`"delta":{"role":"assistant","content":"hello"}`, `"content":" there"`, `"finish_reason":"stop"`, "data: [DONE]", ""} {
		require.Contains(t, events[i], want)
	}
	require.NotContains(t, body, `"usage"`)

	_, body = ask(`,"stream":true,"stream_options":{"include_usage":true}`)
	require.Contains(t, body, `"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}`)
}

func TestReads(t *testing.T) {
	for path, want := range map[string]string{"/api/version": `"version"`, "/": "echo model is running", "/api/tags": `"name":"echo"`, "/api/ps": `"models":[]`, "/v1/models": `"id":"echo"`, "/v1/models/echo:latest": `"id":"echo"`} {
		resp := send(t.Context(), t, echo.Transport{}, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, resp.StatusCode)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), want)
		require.EqualValues(t, len(body), resp.ContentLength)
		require.Equal(t, http.StatusOK, send(t.Context(), t, echo.Transport{}, http.MethodHead, path, "").StatusCode)
	}
}

func TestRefusals(t *testing.T) {
	const messages = `"messages":[{"role":"user","content":"x"}]`
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"another model", http.MethodPost, "/api/chat", `{"model":"llama3",` + messages + `}`, http.StatusNotFound, "model 'llama3' not found"},
		{"no model", http.MethodPost, "/api/chat", `{}`, http.StatusNotFound, "model '' not found"},
		{"no user", http.MethodPost, "/api/chat", `{"model":"echo","messages":[{"role":"system","content":"x"}]}`, http.StatusBadRequest, "no message of the role user"},
		{"no text", http.MethodPost, "/v1/chat/completions", `{"model":"echo","messages":[{"role":"user","content":7}]}`, http.StatusBadRequest, `"type":"invalid_request_error"`},
		{"another model, /v1", http.MethodPost, "/v1/chat/completions", `{"model":"llama3",` + messages + `}`, http.StatusNotFound, `"message":"model 'llama3' not found"`},
		{"another model, shown", http.MethodPost, "/api/show", `{"model":"llama3"}`, http.StatusNotFound, `{"error":"model 'llama3' not found"}`},
		{"nothing, shown", http.MethodPost, "/api/show", ``, http.StatusBadRequest, "echo: "},
		{"no object", http.MethodPost, "/api/generate", `"echo"`, http.StatusBadRequest, "must be an object"},
		{"prompt of another type", http.MethodPost, "/api/generate", `{"model":"echo","prompt":1}`, http.StatusBadRequest, "prompt"},
		{"delay", http.MethodPost, "/api/chat", `{"model":"echo",` + messages + `,"options":{"delay":"soon"}}`, http.StatusBadRequest, "options.delay must be a duration"},
		{"another path", http.MethodPost, "/api/embed", `{"model":"echo"}`, http.StatusNotFound, "404 page not found"},
		{"another method", http.MethodGet, "/api/chat", "", http.StatusNotFound, "404 page not found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := send(t.Context(), t, echo.Transport{}, tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, resp.StatusCode)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), tt.want)
		})
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stream := range []string{"true", "false"} {
			begun := time.Now()
			resp := send(context.Background(), t, echo.Transport{}, http.MethodPost, "/api/generate",
				`{"model":"echo","prompt":"one two three","stream":`+stream+`,"options":{"delay":"50ms"}}`)
			got := lines(t, resp.Body)
			require.True(t, got[len(got)-1].Done)
			require.Equal(t, 150*time.Millisecond, time.Since(begun))
		}
	})
}

// A generation ends with its request, and with Close, while it pauses.
func TestEnds(t *testing.T) {
	const body = `{"model":"echo","prompt":"one two","options":{"delay":"1m"}}`
	t.Run("request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := io.ReadAll(send(ctx, t, echo.Transport{}, http.MethodPost, "/api/generate", body).Body)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	t.Run("close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			resp := send(context.Background(), t, echo.Transport{}, http.MethodPost, "/api/generate", body)
			go func() {
				time.Sleep(time.Second)
				_ = resp.Body.Close()
			}()
			_, err := io.ReadAll(resp.Body)
			require.ErrorIs(t, err, context.Canceled)
		})
	})
	t.Run("before it begins", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/generate", strings.NewReader(body))
		require.NoError(t, err)
		_, err = echo.Transport{}.RoundTrip(r)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func FuzzCut(f *testing.F) {
	f.Add("hello there")
	f.Add("  \n")
	f.Add(strings.Repeat("\u20ac", 200))
	f.Fuzz(func(t *testing.T, text string) {
		var all bytes.Buffer
		for rest := text; rest != ""; {
			var token string
			token, rest = echo.Cut(rest)
			require.NotEmpty(t, token)
			require.LessOrEqual(t, len(token), 256)
			require.True(t, !utf8.ValidString(text) || utf8.ValidString(token), "characters stay whole")
			all.WriteString(token)
		}
		require.Equal(t, text, all.String(), "nothing is lost")
	})
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte(`{"options":{"delay":"50ms","fail_attempts":2,"artifact_bytes":262144}}`))
	f.Add([]byte(`{"options":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := echo.ParseOptions(body); err != nil {
			require.NotEmpty(t, err.Error())
		}
	})
}
