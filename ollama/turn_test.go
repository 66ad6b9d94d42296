package ollama_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// generations are the calls that wait for their turn, with a body for each.
var generations = map[string]string{
	"/api/chat":            `{"model":"llama3","messages":[{"role":"user","content":"a b"}]}`,
	"/api/generate":        `{"model":"llama3","prompt":"a b"}`,
	"/api/embed":           `{"model":"llama3","input":"a b"}`,
	"/api/embeddings":      `{"model":"llama3","prompt":"a b"}`,
	"/v1/chat/completions": `{"model":"llama3","messages":[{"role":"user","content":"a b"}]}`,
	"/v1/completions":      `{"model":"llama3","prompt":"a b"}`,
	"/v1/embeddings":       `{"model":"llama3","input":"a b"}`,
	"/v1/responses":        `{"model":"llama3","input":"a b"}`,
	"/v1/messages":         `{"model":"llama3","max_tokens":9,"messages":[{"role":"user","content":"a b"}]}`,
}

func TestAnswersTellOfTheirTurn(t *testing.T) {
	r := newRig(t, setUp{})
	for path, body := range generations {
		a := call(limited(t), "POST", r.front.URL+path, body)
		require.Equal(t, 200, a.status, path)
		require.Equal(t, "1", a.header.Get("X-Foreman-Queue-Position"), path)
		require.Regexp(t, `^\d+\.\d{3}$`, a.header.Get("X-Foreman-Wait"), path)
		require.Empty(t, a.header.Get("Preference-Applied"), path)
	}
	a := call(limited(t), "GET", r.front.URL+"/api/tags", "")
	require.Empty(t, a.header.Get("X-Foreman-Wait"), "a read does not wait")
}

// A call that only loads or unloads a model waits for its turn as well.
func TestLoadsWaitForTheirTurn(t *testing.T) {
	for _, body := range []string{`{"model":"llama3"}`, `{"model":"llama3","keep_alive":0}`} {
		r, step, holder, _ := holding(t, setUp{})
		load := goCall(limited(t), "POST", r.front.URL+"/api/generate", body, "Prefer", "wait=60")
		somebodyWaits(t, r)
		require.Empty(t, asked(r.model, "/api/generate"))
		close(step)
		require.Equal(t, 200, (<-holder).status)
		require.Equal(t, 200, (<-load).status)
	}
}

// somebodyWaits returns once a caller waits for its turn.
func somebodyWaits(t *testing.T, r *rig) {
	t.Helper()
	waiters(t, r, 1)
}

// waiters returns once so many callers wait for their turn.
func waiters(t *testing.T, r *rig, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := r.f.Do(t.Context(), foreman.Spec{Model: "llama3", Owner: "the test", Priority: -1, QueueTimeout: time.Nanosecond},
			func(context.Context, foreman.Turn) error { return nil })
		e, ok := errors.AsType[*foreman.WaitError](err)
		return ok && e.Position == n+1
	}, 20*time.Second, time.Millisecond)
}

func TestWaitIsBounded(t *testing.T) {
	const text = "server busy, please try again.  place "
	shapes := map[string]string{
		"/api": `{"error":"` + text, "/v1": `{"error":{"message":"` + text, "/v1/messages": `{"type":"error","error":{"type":"overloaded_error","message":"` + text,
	}
	t.Run("by its caller", func(t *testing.T) {
		r, step, holder, _ := holding(t, setUp{})
		answers := map[string]<-chan answer{}
		for path, body := range generations {
			answers[path] = goCall(limited(t), "POST", r.front.URL+path, body, "Prefer", "wait=1")
		}
		for path, got := range answers {
			a := <-got
			require.Equal(t, 503, a.status, path)
			require.Equal(t, "wait=1", a.header.Get("Preference-Applied"))
			seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
			require.NoError(t, err)
			require.Positive(t, seconds)
			shape := shapes[path]
			for _, prefix := range []string{"/api", "/v1"} {
				if shape == "" && strings.HasPrefix(path, prefix) {
					shape = shapes[prefix]
				}
			}
			require.True(t, strings.HasPrefix(a.body, shape), "%s: %s", path, a.body)
		}
		close(step)
		require.Equal(t, 200, (<-holder).status)
		a := call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a"), "Prefer", "wait=1")
		require.Equal(t, 200, a.status)
		require.Equal(t, "wait=1", a.header.Get("Preference-Applied"))
		require.NotContains(t, asked(r.model, "/api/chat")[1].Header, "Prefer")
	})
	t.Run("for all", func(t *testing.T) {
		r, step, holder, _ := holding(t, setUp{handler: &ollama.HandlerOptions{MaxWait: 10 * time.Millisecond}})
		for _, preference := range []string{"", "wait=60", "wait=soon", "handling=lenient"} {
			a := call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a"), "Prefer", preference)
			require.Equal(t, 503, a.status)
			require.Contains(t, a.body, text)
			require.Empty(t, a.header.Get("Preference-Applied"))
		}
		close(step)
		require.Equal(t, 200, (<-holder).status)
	})
}

func TestFullQueueInEachForm(t *testing.T) {
	const text = "server busy, please try again.  maximum pending requests exceeded: this would be place 2 in the queue, try again in 5s"
	r, step, holder, _ := holding(t, setUp{foreman: &foreman.Options{MaxWaiting: 1}})
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a")) }()
	}
	require.Equal(t, 503, (<-answers).status, "the other one waits")
	for path, want := range map[string]string{
		"/api/embed":     `{"error":"` + text + `"}`,
		"/v1/embeddings": `{"error":{"message":"` + text + `","type":"api_error","param":null,"code":null}}` + "\n",
		"/v1/messages":   `{"type":"error","error":{"type":"overloaded_error","message":"` + text + `"}}` + "\n",
	} {
		a := call(limited(t), "POST", r.front.URL+path, generations[path])
		require.Equal(t, 503, a.status)
		require.Equal(t, "5", a.header.Get("Retry-After"))
		require.Equal(t, want, a.body)
	}
	close(step)
	require.Equal(t, 200, (<-answers).status)
	require.Equal(t, 200, (<-holder).status)
}

func TestBodiesTogetherAreBounded(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{handler: &ollama.HandlerOptions{MaxBodies: 20 << 10}})
	large := chat("llama3", strings.Repeat("a", 10<<10))
	first := goCall(limited(t), "POST", r.front.URL+"/api/chat", large)
	somebodyWaits(t, r)
	a := call(limited(t), "POST", r.front.URL+"/v1/chat/completions", large)
	require.Equal(t, 503, a.status)
	require.Equal(t, "5", a.header.Get("Retry-After"))
	require.Contains(t, a.body, "the requests that wait take up 20480 bytes already")
	close(step)
	require.Equal(t, 200, (<-first).status)
	require.Equal(t, 200, (<-holder).status)
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", large).status, "there is room again")
}

func TestCompressedBody(t *testing.T) {
	r := newRig(t, setUp{})
	a := call(limited(t), "POST", r.front.URL+"/v1/responses", "x", "Content-Encoding", "zstd")
	require.Equal(t, 415, a.status)
	require.Empty(t, asked(r.model, "/v1/responses"))
}

// A caller that hangs up while its model is being loaded frees its slot: another model
// does not wait for the load, which would take an hour.
func TestCallerHangsUpWhileItsModelIsLoaded(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{"large": {LoadDelay: time.Hour}, "llama3": {}}}})
	ctx, hangUp := context.WithCancel(limited(t))
	loading := goCall(ctx, "POST", r.front.URL+"/v1/chat/completions", chat("large", "a"))
	wait(t, r.model, func(s ollamatest.Stats) bool { return s.InFlight == 1 })
	next := goCall(limited(t), "POST", r.front.URL+"/v1/chat/completions", chat("llama3", "a"))
	hangUp()
	require.ErrorIs(t, (<-loading).err, context.Canceled)
	require.Equal(t, 200, (<-next).status)
}

// Callers of different owners take turns: one that comes last goes before what others
// have asked for more than once.
func TestOwnersTakeTurns(t *testing.T) {
	step := make(chan struct{})
	r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}}})
	ask := func(owner, text string) <-chan int {
		out := make(chan int, 1)
		go func() {
			q := httptest.NewRequest("POST", "/api/chat", strings.NewReader(chat("llama3", text)))
			q = q.WithContext(foreman.WithCaller(limited(t), foreman.Caller{Owner: owner}))
			w := httptest.NewRecorder()
			r.front.Config.Handler.ServeHTTP(w, q)
			out <- w.Code
		}()
		return out
	}
	var answers []<-chan int
	answers = append(answers, ask("greedy", "0"))
	wait(t, r.model, func(ollamatest.Stats) bool { return len(asked(r.model, "/api/chat")) == 1 }) // and not just its load
	for i, one := range []struct{ owner, text string }{{"greedy", "1"}, {"greedy", "2"}, {"greedy", "3"}, {"modest", "4"}} {
		answers = append(answers, ask(one.owner, one.text))
		waiters(t, r, i+1)
	}
	close(step)
	for _, a := range answers {
		require.Equal(t, http.StatusOK, <-a)
	}
	var order []string
	for _, q := range asked(r.model, "/api/chat") {
		_, text, _ := strings.Cut(string(q.Body), `"content":"`)
		order = append(order, text[:1])
	}
	require.Equal(t, []string{"0", "1", "4", "2", "3"}, order)
}
