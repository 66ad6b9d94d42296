package ollama_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/http/httputil"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// timesOut has a job run into its run_timeout, of a Foreman that neither loads nor checks.
func timesOut(t *testing.T, b *ollama.Backend, input string, after time.Duration) {
	t.Helper()
	f, stop := newForeman(t, foreman.BackendFunc(b.Run), nil)
	defer stop()
	j, err := f.Submit(t.Context(), foreman.Spec{
		Model: "m", Input: json.RawMessage(input), RunTimeout: after, MaxAttempts: 1,
	})
	require.NoError(t, err)
	require.Equal(t, foreman.RunTimeout, await(t, f, j.ID).Error.Type)
}

// check checks, and does not wait for as long as Check does.
func check(t *testing.T, b *ollama.Backend) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	return b.Check(ctx)
}

func TestServerThatHangs(t *testing.T) {
	s := ollamatest.New(t, ofOllama(ollamatest.Options{}, "m"))
	b := newBackend(t, &ollama.Options{URL: s.URL()})
	require.NoError(t, b.Load(t.Context(), "m num_ctx=8192", nil))
	s.Wedge(true)
	require.NoError(t, check(t, b), "nobody knows yet")
	require.Len(t, told(s, "/api/generate"), 1, "and nobody asks")

	timesOut(t, b, `{"prompt":"a","options":{"num_ctx":8192}}`, 50*time.Millisecond)
	require.ErrorContains(t, check(t, b), "answers GET /api/version, but m:latest generates nothing: it hangs, restart it")
	require.Equal(t, `{"model":"m:latest","prompt":"a","raw":true,"options":{"num_ctx":8192,"num_predict":1}}`, told(s, "/api/generate")[1])

	s.Wedge(false)
	require.NoError(t, b.Check(limited(t)))
	require.Equal(t, 1, s.Stats().Loads, "the probe has nothing loaded anew")
	probes := len(told(s, "/api/generate"))
	require.NoError(t, b.Check(limited(t)))
	require.Len(t, told(s, "/api/generate"), probes, "it is trusted again")
}

// Nothing else is begun while the server hangs, and everything when it does not any more.
func TestJobsWaitWhileTheServerHangs(t *testing.T) {
	r := newRig(t, setUp{model: ofOllama(ollamatest.Options{}, "m")})
	r.model.Wedge(true)
	j, err := r.f.Submit(t.Context(), foreman.Spec{
		Model: "m", Input: json.RawMessage(`{"prompt":"a"}`), RunTimeout: 200 * time.Millisecond, MaxAttempts: 20,
	})
	require.NoError(t, err)
	next := submit(t, r.f, "m", `{"prompt":"b"}`)
	for e, err := range r.f.Watch(limited(t), j.ID, 0) {
		require.NoError(t, err)
		if e.Type == foreman.StateEvent && e.State == foreman.Queued && e.Attempt == 1 {
			break // and waits for its next attempt
		}
	}
	wait(t, r.model, func(ollamatest.Stats) bool { return len(told(r.model, "/api/generate")) > 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = r.f.Ready(ctx)
	require.ErrorIs(t, err, foreman.ErrBackendDown)
	require.ErrorContains(t, err, "it hangs, restart it")
	require.Equal(t, "backend", status(t, r.f, next).Queue.WaitingFor)
	require.Len(t, asked(r.model, "/api/generate"), 1, "nothing has begun since")

	r.model.Wedge(false)
	require.Equal(t, foreman.Done, await(t, r.f, j.ID).State)
	require.Equal(t, foreman.Done, await(t, r.f, next).State)
	require.NoError(t, r.f.Ready(limited(t)))
}

func TestProbe(t *testing.T) {
	generate := func(path, body string) func(t *testing.T, s *ollamatest.Server) {
		return func(t *testing.T, s *ollamatest.Server) {
			require.Equal(t, 200, call(t.Context(), "POST", s.URL()+path, body).status)
		}
	}
	for _, c := range []struct {
		name      string
		behaviors map[string]ollamatest.Behavior // of the probe, by path
		others    []string                       // that are loaded too
		before    func(t *testing.T, s *ollamatest.Server)
		want      string
		probed    int // by generate
		embedded  int
	}{
		{name: "a server that was slow", probed: 1},
		{name: "nothing is loaded", before: generate("/api/generate", `{"model":"m","keep_alive":0}`)},
		{name: "the silent model first", others: []string{"a", "z"}, probed: 1},
		{name: "a model that only embeds", behaviors: map[string]ollamatest.Behavior{"/api/generate": {Status: 400}}, probed: 1, embedded: 1},
		{name: "a model that can do neither", behaviors: map[string]ollamatest.Behavior{"/api/generate": {Status: 400}, "/api/embed": {Status: 400}}, probed: 1, embedded: 1},
		{name: "a model that cannot be run", behaviors: map[string]ollamatest.Behavior{"/api/generate": {Status: 500}}, probed: 1, want: "does not generate: m:latest is answered with 500 Internal Server Error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := ofOllama(ollamatest.Options{MaxLoaded: 3}, "m", "a", "z")
			o.Hook = func(q ollamatest.Request, b *ollamatest.Behavior) {
				if own(q) {
					*b = c.behaviors[q.Path]
				}
			}
			s := ollamatest.New(t, o)
			for _, m := range append(c.others, "m") {
				generate("/api/generate", `{"model":"`+m+`"}`)(t, s)
			}
			b := newBackend(t, &ollama.Options{URL: s.URL()})
			s.Wedge(true)
			timesOut(t, b, `{"prompt":"a"}`, 50*time.Millisecond)
			s.Wedge(false)
			if c.before != nil {
				c.before(t, s)
			}
			err := b.Check(limited(t))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.NoError(t, b.Check(limited(t)), "nothing is suspect any more")
			require.Len(t, told(s, "/api/generate"), c.probed)
			for _, body := range told(s, "/api/generate") {
				require.Contains(t, body, `"model":"m:latest"`)
			}
			require.Len(t, told(s, "/api/embed"), c.embedded)
		})
	}
}

// trusting is a backend that is not checked for reasons of its own.
type trusting struct{ *ollama.Backend }

func (trusting) Doubts() <-chan struct{} { return nil }

// What is generated for anybody shows that the server does not hang.
func TestAnswersAreProofOfLife(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  func(t *testing.T, f *foreman.Foreman, b *ollama.Backend)
	}{
		{"for a job", func(t *testing.T, f *foreman.Foreman, _ *ollama.Backend) {
			require.Equal(t, foreman.Done, await(t, f, submit(t, f, "m", `{"prompt":"a"}`)).State)
		}},
		{"for a caller", func(t *testing.T, _ *foreman.Foreman, b *ollama.Backend) {
			front := httptest.NewServer(httputil.NewSingleHostReverseProxy(b.URL()))
			front.Config.Handler.(*httputil.ReverseProxy).Transport = b.RoundTripper()
			defer front.Close()
			require.Equal(t, 200, call(limited(t), "POST", front.URL+"/v1/chat/completions", chat("m", "a")).status)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ollamatest.New(t, ofOllama(ollamatest.Options{}, "m"))
			b := newBackend(t, &ollama.Options{URL: s.URL()})
			f, _ := newForeman(t, trusting{b}, nil)
			require.Equal(t, foreman.Done, await(t, f, submit(t, f, "m", `{"prompt":"a"}`)).State)
			s.Wedge(true)
			timesOut(t, b, `{"prompt":"a"}`, 50*time.Millisecond)
			s.Wedge(false)
			c.ask(t, f, b)
			require.NoError(t, b.Check(limited(t)))
			require.Equal(t, []string{`{"model":"m"}`}, told(s, "/api/generate"), "the load, and no probe")
		})
	}
}

// An answer that has begun has shown that the server generates; so has one that goes on.
func TestSlowAnswersAreNotSuspect(t *testing.T) {
	step := make(chan struct{}, 1)
	step <- struct{}{}
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"m": {Step: step}}})
	b := newBackend(t, &ollama.Options{URL: s.URL()})
	timesOut(t, b, `{"prompt":"a b"}`, 500*time.Millisecond)
	require.NoError(t, b.Check(limited(t)))
	require.Empty(t, told(s, "/api/generate"))
}

func TestCheckWhileAnAnswerGoesOn(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{Parallel: 2, Models: map[string]ollamatest.Behavior{"m": {Step: step}}})
	b := newBackend(t, &ollama.Options{URL: s.URL()})
	f, _ := newForeman(t, foreman.BackendFunc(b.Run), nil)
	goesOn := submit(t, f, "m", `{"prompt":"one two three"}`)
	for e, err := range f.Watch(limited(t), goesOn, 0) {
		require.NoError(t, err)
		if e.Type == foreman.OutputEvent {
			break
		}
		if e.Type == foreman.StateEvent && e.State == foreman.Queued {
			go func() { step <- struct{}{} }()
		}
	}
	timesOut(t, b, `{"prompt":"a"}`, 50*time.Millisecond)
	require.ErrorContains(t, check(t, b), "it hangs")
	close(step)
	require.Equal(t, foreman.Done, await(t, f, goesOn).State)
	probes := len(told(s, "/api/generate"))
	require.NoError(t, b.Check(limited(t)))
	require.Len(t, told(s, "/api/generate"), probes, "its bytes have shown that the server generates")
}
