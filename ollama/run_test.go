package ollama_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

func TestJobs(t *testing.T) {
	calls := json.RawMessage(`[{"function":{"name":"f","arguments":{"z":1,"a":[2,"<&>"]}}}]`)
	for _, c := range []struct {
		name, path, input string
		behavior          ollamatest.Behavior
		output            string
	}{
		{"chat", "/api/chat", `{"model":"llama3","messages":[{"role":"user","content":"a <b> ☃"}]}`, ollamatest.Behavior{}, "a <b> ☃"},
		{"chat that thinks and calls", "/api/chat", `{"model":"llama3","messages":[{"role":"user","content":"a b"}]}`, ollamatest.Behavior{Thinking: "well, ", ToolCalls: calls}, "well, a b"},
		{"generate", "/api/generate", `{"model":"llama3","prompt":"a b"}`, ollamatest.Behavior{}, "a b"},
		{"generate that thinks", "/api/generate", `{"model":"llama3","prompt":"a b"}`, ollamatest.Behavior{Thinking: "hm "}, "hm a b"},
		{"embed", "/api/embed", `{"model":"llama3","input":["a b","c"]}`, ollamatest.Behavior{}, ""},
		{"load by chat", "/api/chat", `{"model":"llama3","messages":[]}`, ollamatest.Behavior{}, ""},
		{"load by generate", "/api/generate", `{"model":"llama3"}`, ollamatest.Behavior{}, ""},
		{"unload", "/api/generate", `{"model":"llama3","keep_alive":0}`, ollamatest.Behavior{}, ""},
		{"a large answer", "/api/generate", `{"model":"llama3","prompt":"word"}`, ollamatest.Behavior{Tokens: 1000}, strings.TrimSpace(strings.Repeat("word ", 1000))},
	} {
		for _, stream := range []string{`"stream":false,`, `"stream":true,`, ``} {
			t.Run(c.name+" "+stream, func(t *testing.T) {
				step := make(chan struct{})
				c.behavior.Step = step
				r := newRig(t, setUp{model: &ollamatest.Options{Now: fixed, Models: map[string]ollamatest.Behavior{"llama3": c.behavior}}})
				input := strings.Replace(c.input, "{", "{"+stream, 1)
				id := submit(t, r.f, "llama3", input)
				j, output := watch(t, r.f, id, func() { close(step) })
				require.Equal(t, foreman.Done, j.State, "%v", j.Error)
				require.Equal(t, c.output, output)

				sent := asked(r.model, c.path)
				require.Len(t, sent, 1)
				require.Equal(t, input, string(sent[0].Body), "byte for byte")
				require.Equal(t, "application/json", sent[0].Header.Get("Content-Type"))

				whole := call(t.Context(), "POST", r.model.URL()+c.path, strings.Replace(c.input, "{", `{"stream":false,`, 1))
				require.NoError(t, whole.err)
				require.Equal(t, whole.body, string(j.Result), "as Ollama would have answered in one piece")
				require.Equal(t, whole.body, artifact(t, r.f, id))
			})
		}
	}
}

func TestInputWithoutModel(t *testing.T) {
	r := newRig(t, setUp{})
	id := submit(t, r.f, "llama3", " {\n \"messages\" : [ {\"role\":\"user\", \"content\":\"a\"} ], \"x_unknown\":1e400,\"think\":\"high\" }\n")
	j := await(t, r.f, id)
	require.Equal(t, foreman.Done, j.State, "%v", j.Error)
	sent := string(r.model.Requests("/api/chat")[0].Body)
	require.Contains(t, sent, `"model":"llama3",`)
	require.Equal(t, string(j.Spec.Input), strings.Replace(sent, `"model":"llama3",`, "", 1), "nothing else was touched")
}

func TestResultTooLarge(t *testing.T) {
	r := newRig(t, setUp{foreman: &foreman.Options{MaxResult: 100}})
	id := submit(t, r.f, "llama3", chat("llama3", "some words"))
	j := await(t, r.f, id)
	require.Equal(t, foreman.Done, j.State, "%v", j.Error)
	require.JSONEq(t, `{"model":"llama3","artifact":"completion"}`, string(j.Result))
	require.Contains(t, artifact(t, r.f, id), `"content":"some words"`)
}

func TestCancel(t *testing.T) {
	step := make(chan struct{})
	for _, stream := range []string{`true`, `false`} {
		t.Run(stream, func(t *testing.T) {
			r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}}})
			id := submit(t, r.f, "llama3", `{"prompt":"a b c","stream":`+stream+`}`)
			step <- struct{}{}
			_, err := r.f.Cancel(t.Context(), id)
			require.NoError(t, err)
			j := await(t, r.f, id)
			require.Equal(t, foreman.Canceled, j.State)
			wait(t, r.model, func(s ollamatest.Stats) bool { return s.Aborted == 1 && s.InFlight == 0 })
		})
	}
}

func TestRunReturnsTheCause(t *testing.T) {
	boom := errors.New("boom")
	returned := make(chan error, 1)
	model := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: make(chan struct{})}}})
	b := newBackend(t, &ollama.Options{URL: model.URL()})
	f, _ := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		ctx, cancel := context.WithCancelCause(ctx)
		go func() {
			_ = model.Wait(ctx, func(s ollamatest.Stats) bool { return s.Admitted == 1 })
			cancel(boom)
		}()
		err := b.Run(ctx, task)
		returned <- err
		return foreman.Permanent(err)
	}), nil)
	submit(t, f, "llama3", `{"prompt":"a"}`)
	require.ErrorIs(t, <-returned, boom)
}

func TestRunTimeout(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: make(chan struct{})}}}})
	j, err := r.f.Submit(t.Context(), foreman.Spec{
		Model: "llama3", Input: json.RawMessage(`{"prompt":"a"}`), RunTimeout: 20 * time.Millisecond, MaxAttempts: 1,
	})
	require.NoError(t, err)
	j = await(t, r.f, j.ID)
	require.Equal(t, foreman.RunTimeout, j.Error.Type)
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer l.Close()
	return l.Addr().String()
}

// failures passes requests on, and tells of each that failed.
type failures struct {
	http.Transport
	failed chan error
}

func newFailures(buffer int) *failures {
	f := &failures{failed: make(chan error, buffer)}
	f.DisableKeepAlives = true
	return f
}

func (f *failures) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.Transport.RoundTrip(r)
	if err != nil {
		select {
		case f.failed <- err:
		default:
		}
	}
	return resp, err
}

func TestServerComesUpLater(t *testing.T) {
	addr := freeAddr(t)
	transport := newFailures(0)
	b := newBackend(t, &ollama.Options{URL: addr, Transport: transport})
	f, _ := newForeman(t, b, nil)
	id := submit(t, f, "llama3", `{"prompt":"a b"}`)
	for range 2 {
		require.ErrorContains(t, <-transport.failed, "refused")
	}
	j := status(t, f, id)
	require.Equal(t, foreman.Queued, j.State)
	require.Equal(t, "backend", j.Queue.WaitingFor)
	require.ErrorIs(t, f.Ready(t.Context()), foreman.ErrBackendDown)

	j, output := watch(t, f, id, func() { ollamatest.New(t, &ollamatest.Options{Addr: addr}) })
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 1, j.Attempt)
	require.Equal(t, "a b", output)
	require.NoError(t, f.Ready(t.Context()))
}

func TestServerGoesAwayAndComesBack(t *testing.T) {
	model := ollamatest.New(t, nil)
	transport := newFailures(1)
	f, _ := newForeman(t, newBackend(t, &ollama.Options{URL: model.URL(), Transport: transport}), nil)
	j := await(t, f, submit(t, f, "llama3", `{"prompt":"a"}`))
	require.Equal(t, foreman.Done, j.State)

	model.Close()
	id := submit(t, f, "llama3", `{"prompt":"a"}`)
	require.Error(t, <-transport.failed)
	ollamatest.New(t, &ollamatest.Options{Addr: strings.TrimPrefix(model.URL(), "http://")})
	j = await(t, f, id)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 1, j.Attempt, "an attempt that reached nobody does not count")
}

func TestCheckSaysWhatItFound(t *testing.T) {
	b := newBackend(t, &ollama.Options{URL: freeAddr(t)})
	require.ErrorContains(t, b.Check(t.Context()), "is it running?")
	s := ollamatest.New(t, nil)
	b = newBackend(t, &ollama.Options{URL: s.URL() + "/wrong"})
	require.ErrorContains(t, b.Check(t.Context()), "404 Not Found")
	b = newBackend(t, &ollama.Options{URL: s.URL()})
	require.NoError(t, b.Check(t.Context()))
}
