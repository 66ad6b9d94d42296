package ollama_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// A server that hangs is found out though nobody but callers asks it, and the others are
// told at once.
func TestCallersHearThatTheServerHangs(t *testing.T) {
	r := newRig(t, setUp{
		model:   ofOllama(ollamatest.Options{}, "m"),
		backend: &ollama.Options{Silence: 20 * time.Millisecond},
		foreman: &foreman.Options{PerSlot: 2},
	})
	b := r.f.Pools()[0].Backend.(*ollama.Backend)
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", chat("m", "a")).status)
	r.model.Wedge(true)
	ctx, hangUp := context.WithCancel(limited(t))
	silent := goCall(ctx, "POST", r.front.URL+"/api/chat", chat("m", "a"))
	require.Eventually(t, func() bool { return check(t, b) != nil }, 20*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		q, err := r.f.Queue(t.Context())
		require.NoError(t, err)
		return q.Pools[0].Down
	}, 20*time.Second, time.Millisecond, "the Foreman looks after it")

	const text = ` answers GET /api/version, but `
	for path, shape := range map[string]string{
		"/api/chat":            `{"error":"` + r.model.URL() + text,
		"/v1/chat/completions": `{"error":{"message":"` + r.model.URL() + text,
		"/v1/messages":         `{"type":"error","error":{"type":"overloaded_error","message":"` + r.model.URL() + text,
	} {
		require.Error(t, check(t, b))
		a := call(limited(t), "POST", r.front.URL+path, chat("m", "a"))
		require.Equal(t, 503, a.status)
		require.Equal(t, "5", a.header.Get("Retry-After"))
		require.True(t, strings.HasPrefix(a.body, shape), a.body)
		require.Contains(t, a.body, "it hangs, restart it")
		require.Less(t, len(asked(r.model, path)), 3, "it has not been asked")
	}
	require.Equal(t, 404, call(limited(t), "POST", r.front.URL+"/api/chat", chat("none", "a")).status, "it can still say so")

	r.model.Wedge(false)
	require.Equal(t, 200, (<-silent).status, "it was not given up")
	hangUp()
	require.NoError(t, b.Check(limited(t)))
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", chat("m", "a")).status)
}

// Whoever was let in by then, and waits, is told in its turn.
func TestThoseWhoWaitHearThatTheServerHangs(t *testing.T) {
	r := newRig(t, setUp{model: ofOllama(ollamatest.Options{}, "m"), backend: &ollama.Options{Silence: time.Hour}})
	b := r.f.Pools()[0].Backend.(*ollama.Backend)
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", chat("m", "a")).status)
	r.model.Wedge(true)
	ctx, hangUp := context.WithCancel(limited(t))
	silent := goCall(ctx, "POST", r.front.URL+"/api/chat", chat("m", "a"))
	wait(t, r.model, func(s ollamatest.Stats) bool { return s.InFlight == 1 })
	next := goCall(limited(t), "POST", r.front.URL+"/api/chat", chat("m", "a"))
	require.Eventually(t, func() bool {
		q, err := r.f.Queue(t.Context())
		require.NoError(t, err)
		return len(q.Lanes) == 1 && q.Lanes[0].Callers == 1
	}, 20*time.Second, time.Millisecond)
	timesOut(t, b, `{"prompt":"a"}`, 50*time.Millisecond)
	require.Error(t, check(t, b))
	hangUp()
	require.ErrorIs(t, (<-silent).err, context.Canceled)
	a := <-next
	require.Equal(t, 503, a.status)
	require.Contains(t, a.body, "it hangs, restart it")
	r.model.Wedge(false)
}

// mute is a server that knows one loaded model, and generates when it is told to.
type mute struct {
	mu     sync.Mutex
	probes int
	tokens chan string // of a caller
}

func (m *mute) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(body io.Reader) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(body), Header: http.Header{}, Request: r}, nil
	}
	switch {
	case r.Method == http.MethodGet:
		return answer(strings.NewReader(`{"models":[{"name":"m:latest"}]}`))
	case r.Header.Get("User-Agent") == ollama.OwnAgent:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.probes++
		return answer(strings.NewReader(`{}`))
	}
	select {
	case token := <-m.tokens:
		return answer(io.MultiReader(strings.NewReader(token), &rest{r.Context(), m.tokens}))
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// rest is what comes of an answer behind its first token.
type rest struct {
	ctx    context.Context
	tokens chan string
}

func (r *rest) Read(p []byte) (int, error) {
	select {
	case token := <-r.tokens:
		return copy(p, token), nil
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		silence, after   time.Duration // after is when the server is suspect, 0 for never
	}{
		{"a stream", "/api/chat", `{"model":"m"}`, 0, 5 * time.Minute},
		{"a stream that is asked for", "/api/generate", `{"model":"m","stream":true}`, time.Minute, time.Minute},
		{"in one piece", "/api/generate", `{"model":"m","stream":false}`, 0, 30 * time.Minute},
		{"an embedding", "/api/embed", `{"model":"m"}`, 0, 30 * time.Minute},
		{"in one piece on v1", "/v1/chat/completions", `{"model":"m"}`, time.Minute, 6 * time.Minute},
		{"a stream on v1", "/v1/responses", `{"model":"m","stream":true}`, 0, 5 * time.Minute},
		{"never", "/api/chat", `{"model":"m"}`, -1, 0},
		{"a read", "/api/show", `{"model":"m"}`, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &mute{tokens: make(chan string)}
				b := newBackend(t, &ollama.Options{Transport: m, Silence: c.silence})
				ctx, cancel := context.WithCancel(t.Context())
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:11434"+c.path, bytes.NewReader([]byte(c.body)))
				require.NoError(t, err)
				called := make(chan error)
				go func() {
					resp, err := b.RoundTripper().RoundTrip(r)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					called <- err
				}()
				probes := func() int {
					require.NoError(t, b.Check(t.Context()))
					return m.probes
				}
				if c.after == 0 {
					time.Sleep(24 * time.Hour)
					require.Zero(t, probes())
				} else {
					for i := range 3 { // before the first byte, and between others
						time.Sleep(c.after - time.Second)
						require.Equal(t, i, probes())
						time.Sleep(2 * time.Second)
						require.Equal(t, i+1, probes())
						m.tokens <- "a"
						synctest.Wait()
					}
				}
				cancel()
				require.True(t, errors.Is(<-called, context.Canceled))
				probed := probes()
				time.Sleep(24 * time.Hour)
				require.Equal(t, probed, probes(), "nothing is watched any more")
			})
		})
	}
}
