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
