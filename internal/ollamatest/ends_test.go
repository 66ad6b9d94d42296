package ollamatest_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

const (
	streamed = `{"model":"llama3","messages":[{"role":"user","content":"a b c"}]}`
	complete = `{"model":"llama3","stream":false,"messages":[{"role":"user","content":"a b c"}]}`

	streamedV1 = `{"model":"llama3","stream":true,"messages":[{"role":"user","content":"a b c"}]}`
	completeV1 = `{"model":"llama3","messages":[{"role":"user","content":"a b c"}]}`
)

func ending(t *testing.T, e ollamatest.End, after int) *ollamatest.Server {
	return ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {End: e, EndAfter: after}}})
}

func TestRepeat(t *testing.T) {
	s := ending(t, ollamatest.Repeat, 2)
	a := post(t, s, "/api/chat", streamed)
	require.Equal(t, 200, a.status)
	require.NoError(t, a.err, "the body ends properly")
	got := lines(a.body)
	require.Len(t, got, 2)
	require.Contains(t, got[1], `"done":false`)

	a = post(t, s, "/api/chat", complete)
	require.Equal(t, 200, a.status)
	require.Contains(t, a.body, `"content":"a b"},"done":false}`)
	require.NotContains(t, a.body, "done_reason")
}

func TestDeath(t *testing.T) {
	const text = `{"error":"an error was encountered while running the model: unexpected EOF"}`
	s := ending(t, ollamatest.Death, 2)
	a := post(t, s, "/api/chat", streamed)
	require.Equal(t, 200, a.status)
	require.NoError(t, a.err, "the body ends properly")
	got := lines(a.body)
	require.Len(t, got, 3)
	require.Equal(t, text, got[2])
	require.Equal(t, 1, s.Stats().Loads)

	a = post(t, s, "/api/chat", complete)
	require.Equal(t, 500, a.status)
	require.Equal(t, text, a.body)
	require.Equal(t, 2, s.Stats().Loads, "the model was loaded anew")

	early := ending(t, ollamatest.Death, 0)
	a = post(t, early, "/api/chat", streamed)
	require.Equal(t, 500, a.status, "nothing was sent before")
	require.Equal(t, text, a.body)
}

func TestCut(t *testing.T) {
	s := ending(t, ollamatest.Cut, 2)
	a := post(t, s, "/api/chat", streamed)
	require.Equal(t, 200, a.status)
	require.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
	require.Len(t, lines(a.body), 2)
}

func TestCloseCutsStreams(t *testing.T) {
	step := make(chan struct{}, 1)
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}})
	step <- struct{}{}
	resp, err := client().Do(request(t, s, "POST", "/api/chat", streamed))
	require.NoError(t, err)
	defer resp.Body.Close()
	s.Close()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err)
	_, err = client().Do(request(t, s, "GET", "/api/version", ""))
	require.Error(t, err, "refused")
}

func TestRepeatOnOpenAI(t *testing.T) {
	s := ending(t, ollamatest.Repeat, 2)
	a := post(t, s, "/v1/chat/completions", streamedV1)
	require.Equal(t, 200, a.status)
	require.NoError(t, a.err, "the body ends properly")
	got := events(t, a.body)
	require.Len(t, got, 2)
	require.Contains(t, got[1], `"content":" b"},"finish_reason":null`)

	a = post(t, s, "/v1/chat/completions", completeV1)
	require.Equal(t, 200, a.status)
	require.Contains(t, a.body, `"content":"a b"},"finish_reason":null}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`)
}

func TestDeathOnOpenAI(t *testing.T) {
	s := ending(t, ollamatest.Death, 2)
	a := post(t, s, "/v1/chat/completions", streamedV1)
	require.Equal(t, 200, a.status)
	require.NoError(t, a.err, "the body ends properly")
	got := events(t, a.body)
	require.Len(t, got, 3)
	require.Contains(t, got[2], `"model":"","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`)
	require.NotContains(t, a.body, "error")
	require.NotContains(t, a.body, "[DONE]")

	a = post(t, s, "/v1/chat/completions", completeV1)
	require.Equal(t, 500, a.status)
	require.Equal(t, `{"error":{"message":"an error was encountered while running the model: unexpected EOF","type":"api_error","param":null,"code":null}}`+"\n", a.body)
	require.Equal(t, 2, s.Stats().Loads, "the model was loaded anew")
}

func TestCutOnOpenAI(t *testing.T) {
	s := ending(t, ollamatest.Cut, 2)
	a := post(t, s, "/v1/chat/completions", streamedV1)
	require.Equal(t, 200, a.status)
	require.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
	require.Len(t, events(t, a.body), 2)
}

func TestDeathIsForWhoWaitsToo(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step, End: ollamatest.Death, EndAfter: 1}}})
	first := goPost(t, s, "/api/chat", streamed)
	wait(t, s, func(st ollamatest.Stats) bool { return st.Admitted == 1 })
	second := goPost(t, s, "/api/chat", streamed)
	wait(t, s, func(st ollamatest.Stats) bool { return st.Admitted == 2 })
	step <- struct{}{}
	require.Equal(t, 200, (<-first).status)
	require.Equal(t, 500, (<-second).status)
	require.Equal(t, 1, s.Stats().Of("llama3").Unloads)
}
