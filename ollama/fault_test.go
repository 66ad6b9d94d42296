package ollama_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

func TestFaults(t *testing.T) {
	type behavior = ollamatest.Behavior
	const (
		streamed = `{"prompt":"a b c"}`
		whole    = `{"prompt":"a b c","stream":false}`
		died     = "an error was encountered while running the model: unexpected EOF"
	)
	for _, c := range []struct {
		name, input string
		behavior    behavior
		want        foreman.ErrorType
		attempts    int
		message     string
	}{
		{"repeats itself", streamed, behavior{End: ollamatest.Repeat, EndAfter: 2}, foreman.Incomplete, 2, "without its end mark"},
		{"repeats itself, in one piece", whole, behavior{End: ollamatest.Repeat, EndAfter: 2}, foreman.Incomplete, 2, "without its end mark"},
		{"dies", streamed, behavior{End: ollamatest.Death, EndAfter: 2}, foreman.BackendError, 2, died},
		{"dies before the first token", streamed, behavior{End: ollamatest.Death}, foreman.BackendError, 2, died},
		{"dies, in one piece", whole, behavior{End: ollamatest.Death}, foreman.BackendError, 2, died},
		{"is cut off", streamed, behavior{End: ollamatest.Cut, EndAfter: 2}, foreman.Incomplete, 2, "cut off"},
		{"is cut off before the first token", streamed, behavior{End: ollamatest.Cut}, foreman.Incomplete, 2, "before it answered"},
		{"is cut off, in one piece", whole, behavior{End: ollamatest.Cut}, foreman.Incomplete, 2, "before it answered"},
		{"embedding dies", `{"input":"a"}`, behavior{End: ollamatest.Death}, foreman.BackendRejected, 1, died},
		{"embedding is cut off", `{"input":"a"}`, behavior{End: ollamatest.Cut}, foreman.Incomplete, 2, "before it answered"},

		{"busy", streamed, behavior{Status: 503, Body: `{"error":"server busy, please try again.  maximum pending requests exceeded"}`}, foreman.BackendError, 2, "server busy, please try again.  maximum pending requests exceeded"},
		{"500 without a reason", streamed, behavior{Status: 500}, foreman.BackendError, 2, "the model server answered 500 Internal Server Error"},
		{"too many requests", streamed, behavior{Status: 429}, foreman.BackendError, 2, "429"},
		{"redirected", streamed, behavior{Status: 301}, foreman.BackendError, 2, "is the URL of the model server right?"},
		{"unauthorized", streamed, behavior{Status: 401, Body: `{"error":"unauthorized","signin_url":"x"}`}, foreman.BackendRejected, 1, "unauthorized"},
		{"an error with status 200", whole, behavior{Status: 200, Body: `{"error":"oh"}`}, foreman.BackendError, 2, "oh"},
		{"no JSON", streamed, behavior{Status: 200, Body: `<html>`}, foreman.Incomplete, 2, "not an answer"},
		{"null", streamed, behavior{Status: 200, Body: `null`}, foreman.Incomplete, 2, "not an answer"},
		{"nothing", streamed, behavior{Status: 200}, foreman.Incomplete, 2, "not an answer"},
		{"half an embedding", `{"input":"a"}`, behavior{Status: 200, Body: `{"embeddings":[[1`}, foreman.Incomplete, 2, "not an answer"},
		{"too long, in one piece", `{"prompt":"` + strings.Repeat("a", 2000) + `","stream":false}`, behavior{}, foreman.BackendError, 1, "more than 2000 bytes"},
		{"too long", streamed, behavior{Tokens: 100}, foreman.BackendError, 1, "more than 2000 bytes"},

		{"wrong option", `{"prompt":"a","options":{"num_ctx":"x"}}`, behavior{}, foreman.BackendError, 2, `option "num_ctx" must be of type integer`},
		{"wrong type", `{"messages":7}`, behavior{}, foreman.BackendRejected, 1, "cannot unmarshal number"},
		{"no object", `["a"]`, behavior{}, foreman.BackendRejected, 1, "must be a JSON object"},
		{"null input", `null`, behavior{}, foreman.BackendRejected, 1, "must be a JSON object"},
		{"another model", `{"model":"other","prompt":"a"}`, behavior{}, foreman.BackendRejected, 1, "for another model than the job"},
		{"another model, in disguise", `{"MODEL":"other","prompt":"a"}`, behavior{}, foreman.BackendRejected, 1, "for another model than the job"},
		{"no string for a model", `{"model":null,"prompt":"a"}`, behavior{}, foreman.BackendRejected, 1, "for another model than the job"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, setUp{
				model:   &ollamatest.Options{Models: map[string]behavior{"llama3": c.behavior}},
				backend: &ollama.Options{MaxAnswer: 2000},
				foreman: &foreman.Options{MaxAttempts: 2},
			})
			j := await(t, r.f, submit(t, r.f, "llama3", c.input))
			require.Equal(t, foreman.Failed, j.State)
			require.Equal(t, c.want, j.Error.Type, "%v", j.Error)
			require.Contains(t, j.Error.Message, c.message)
			require.Equal(t, c.attempts, j.Attempt)
			require.Equal(t, c.attempts == 2, j.Error.Retryable)
			for _, a := range j.Artifacts {
				require.Equal(t, "partial", a.Name, "no more than what was generated")
			}
			wait(t, r.model, func(s ollamatest.Stats) bool { return s.InFlight == 0 })
		})
	}
}

func TestUnknownModel(t *testing.T) {
	r := newRig(t, setUp{})
	j := await(t, r.f, submit(t, r.f, "x", `{"prompt":"a"}`))
	require.Equal(t, foreman.BackendRejected, j.Error.Type)
	require.Equal(t, "model 'x' not found", j.Error.Message)
	require.Equal(t, 1, j.Attempt)
}

func TestNotOllama(t *testing.T) {
	s := ollamatest.New(t, nil)
	b := newBackend(t, &ollama.Options{URL: s.URL() + "/v2"})
	f, _ := newForeman(t, foreman.BackendFunc(b.Run), nil) // without Check, which would not let it come so far
	j := await(t, f, submit(t, f, "llama3", `{"prompt":"a"}`))
	require.Equal(t, foreman.BackendRejected, j.Error.Type)
	require.Equal(t, "404 page not found", j.Error.Message)
}

func TestFaultThatPasses(t *testing.T) {
	calls, step := 0, make(chan struct{})
	r := newRig(t, setUp{model: &ollamatest.Options{Hook: func(q ollamatest.Request, b *ollamatest.Behavior) {
		if own(q) {
			return
		}
		b.Step = step
		if calls++; calls < 3 {
			b.End, b.EndAfter = ollamatest.Death, 1
		}
	}}})
	j, output := watch(t, r.f, submit(t, r.f, "llama3", `{"prompt":"a b"}`), func() { close(step) })
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 3, j.Attempt)
	require.Equal(t, "aaa b", output, "watchers see what each attempt has said")
	require.Contains(t, string(j.Result), `"response":"a b"`)
	require.Len(t, j.Artifacts, 1)
}
