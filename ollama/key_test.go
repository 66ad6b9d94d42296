package ollama_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// A server that wants a key is shown it for jobs, callers and what Foreman asks itself,
// whatever a caller shows.
func TestKey(t *testing.T) {
	s := ollamatest.New(t, nil)
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	behind := httputil.NewSingleHostReverseProxy(u)
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk-right" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(locked.Close)
	b := newBackend(t, &ollama.Options{URL: locked.URL, API: ollama.OpenAIAPI, Key: "sk-right"})
	require.NoError(t, b.Check(limited(t)))
	f, _ := newForeman(t, b, nil)
	require.Equal(t, foreman.Done, await(t, f, submit(t, f, "llama3", `{"messages":[{"role":"user","content":"a"}]}`)).State)
	for _, shown := range []string{"", "Bearer sk-wrong"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"llama3","messages":[{"role":"user","content":"a"}]}`))
		r.Header.Set("Authorization", shown)
		w := httptest.NewRecorder()
		ollama.Handler(f, nil).ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	}
	_, err = ollama.New(&ollama.Options{Key: "sk-1\nHost: else"})
	require.ErrorContains(t, err, "printable")
	require.NotContains(t, err.Error(), "else")
}
