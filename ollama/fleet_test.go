package ollama_test

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// fleet is a gateway in front of several servers that are asked what they have, each in a
// pool of its own.
type fleet struct {
	*rig
	pools   foreman.Pools
	servers []*ollamatest.Server
}

// newFleet makes servers with these models. The first has OpenAI's API if its models
// begin with one that is named v1.
func newFleet(t *testing.T, o *ollama.HandlerOptions, models ...[]string) *fleet {
	t.Helper()
	l := &fleet{rig: &rig{}}
	var backends []*ollama.Backend
	for _, names := range models {
		behaviors := map[string]ollamatest.Behavior{}
		for _, name := range names {
			behaviors[name] = ollamatest.Behavior{}
		}
		s := ollamatest.New(t, &ollamatest.Options{Now: fixed, Models: behaviors})
		l.servers = append(l.servers, s)
		api := ollama.OllamaAPI
		if names[0] == "v1" {
			api = ollama.OpenAIAPI
		}
		backends = append(backends, newBackend(t, &ollama.Options{URL: s.URL(), API: api}))
	}
	l.pools = ollama.Pools(backends...)
	l.f, l.stop = newForeman(t, l.pools, nil)
	for _, b := range backends {
		require.NoError(t, b.Check(limited(t)))
	}
	l.front = httptest.NewServer(ollama.Handler(l.f, o))
	t.Cleanup(l.front.Close)
	return l
}

// serving are the numbers of the servers that are asked for a model.
func (l *fleet) serving(model string) (out []int) {
	for i, p := range l.pools {
		if p.Serves(model) {
			out = append(out, i)
		}
	}
	return out
}

// copied gives a server one more model, behind the back of the gateway.
func copied(t *testing.T, s *ollamatest.Server, from, to string) {
	t.Helper()
	a := call(limited(t), "POST", s.URL()+"/api/copy", `{"source":"`+from+`","destination":"`+to+`"}`)
	require.Equal(t, 200, a.status)
}

func TestPoolsServeWhatTheirServersHave(t *testing.T) {
	l := newFleet(t, nil, []string{"a", "both"}, []string{"b:latest", "B:7b", "both"})
	for model, want := range map[string][]int{
		"a": {0}, "A:latest": {0}, "library/a": {0},
		"b": {1}, "b:latest": {1}, "b:7b": {1}, "b:8b": {0, 1},
		"both": {0, 1}, "none": {0, 1}, "": {0, 1},
	} {
		require.Equal(t, want, l.serving(model), model)
	}
	require.Equal(t, l.servers[0].URL(), l.pools[0].Name)

	one := newBackend(t, &ollama.Options{URL: l.servers[0].URL()})
	require.Nil(t, ollama.Pools(one)[0].Serves, "there is no other to ask")
}

func TestWorkGoesWhereItsModelIs(t *testing.T) {
	l := newFleet(t, nil, []string{"a"}, []string{"b"})
	var waiting []<-chan answer
	for range 3 {
		for _, model := range []string{"a", "b", "b:latest"} {
			waiting = append(waiting, goCall(limited(t), "POST", l.front.URL+"/api/chat", chat(model, "x y")))
		}
	}
	for _, model := range []string{"a", "b", "a:latest", "b"} {
		j := await(t, l.f, submit(t, l.f, model, `{"prompt":"x"}`))
		require.Equal(t, foreman.Done, j.State, "%s: %v", model, j.Error)
	}
	for _, a := range waiting {
		require.Equal(t, 200, (<-a).status)
	}
	for i, want := range []struct{ chats, jobs int }{{3, 2}, {6, 2}} {
		require.Len(t, asked(l.servers[i], "/api/chat"), want.chats)
		require.Len(t, asked(l.servers[i], "/api/generate"), want.jobs)
	}
	require.Equal(t, 200, call(limited(t), "POST", l.front.URL+"/v1/chat/completions", chat("b", "x")).status)
	require.Equal(t, []string{"a:latest", "b:latest"}, names(t, call(limited(t), "GET", l.front.URL+"/api/tags", "")))
}

// What nobody has is refused as it is without a gateway.
func TestAModelThatNobodyHas(t *testing.T) {
	l := newFleet(t, nil, []string{"llama3"}, []string{"b"})
	for i, model := range []string{"llama3", "b"} {
		require.Equal(t, 200, call(limited(t), "POST", l.front.URL+"/api/chat", chat(model, "x")).status)
		require.Equal(t, 1, l.servers[i].Stats().Loads)
	}
	for path, body := range generations {
		body = strings.ReplaceAll(body, "llama3", "none")
		direct, got := call(limited(t), "POST", l.servers[0].URL()+path, body), call(limited(t), "POST", l.front.URL+path, body)
		require.Equal(t, 404, got.status, path)
		require.Equal(t, direct.body, got.body, path)
		require.Equal(t, direct.header.Get("Content-Type"), got.header.Get("Content-Type"))
	}
	j := await(t, l.f, submit(t, l.f, "none", `{"prompt":"x"}`))
	require.Equal(t, foreman.BackendRejected, j.Error.Type)
	require.Contains(t, j.Error.Message, "not found")
	for _, s := range l.servers {
		require.Zero(t, s.Stats().Unloads, "nothing was put out for it")
	}
}

// Each call asks for a model that has just come to the second server, which nobody has
// told of.
func TestAModelThatIsNew(t *testing.T) {
	t.Run("to a caller", func(t *testing.T) {
		l := newFleet(t, nil, []string{"a"}, []string{"b"})
		copied(t, l.servers[1], "b", "new")
		require.Equal(t, 200, call(limited(t), "POST", l.front.URL+"/api/chat", chat("new", "x")).status)
		require.Equal(t, []int{1}, l.serving("new"))
		require.Empty(t, asked(l.servers[0], "/api/chat"))
	})
	t.Run("to a job", func(t *testing.T) {
		l := newFleet(t, nil, []string{"a"}, []string{"b"})
		copied(t, l.servers[1], "b", "new")
		j := await(t, l.f, submit(t, l.f, "new", `{"prompt":"x"}`))
		require.Equal(t, foreman.Done, j.State, j.Error)
		require.Equal(t, 1, j.Attempt, "to look at the wrong place is no attempt")
		require.Len(t, asked(l.servers[1], "/api/generate"), 1)
		require.Empty(t, asked(l.servers[0], "/api/generate"))
	})
	t.Run("and is where another was", func(t *testing.T) {
		l := newFleet(t, nil, []string{"a", "moved"}, []string{"b"})
		copied(t, l.servers[1], "b", "moved")
		require.Equal(t, 200, call(limited(t), "DELETE", l.servers[0].URL()+"/api/delete", `{"model":"moved"}`).status)
		j := await(t, l.f, submit(t, l.f, "moved", `{"prompt":"x"}`))
		require.Equal(t, foreman.Done, j.State, j.Error)
		require.Len(t, asked(l.servers[1], "/api/generate"), 1)
	})
	t.Run("and was pulled through the gateway", func(t *testing.T) {
		l := newFleet(t, &ollama.HandlerOptions{AllowChanges: true}, []string{"a"}, []string{"b"})
		require.Equal(t, []int{0, 1}, l.serving("new"))
		require.Equal(t, 200, call(limited(t), "POST", l.front.URL+"/api/copy", `{"source":"a","destination":"new"}`).status)
		require.Equal(t, []int{0}, l.serving("new"), "it is known before the answer ends")
		require.Equal(t, 200, call(limited(t), "POST", l.front.URL+"/api/chat", chat("new", "x")).status)
	})
}

// A server that has not been reached yet may have what no other has: it is waited for.
func TestAServerThatComesUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	here := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"a": {}}})
	pools := ollama.Pools(newBackend(t, &ollama.Options{URL: here.URL()}), newBackend(t, &ollama.Options{URL: addr}))
	f, _ := newForeman(t, pools, nil)
	require.NoError(t, pools[0].Backend.(*ollama.Backend).Check(limited(t)))
	id := submit(t, f, "b", `{"prompt":"x"}`)
	require.Equal(t, foreman.Done, await(t, f, submit(t, f, "a", `{"prompt":"x"}`)).State)
	require.Equal(t, "backend", status(t, f, id).Queue.WaitingFor)

	there := ollamatest.New(t, &ollamatest.Options{Addr: addr, Models: map[string]ollamatest.Behavior{"b": {}}})
	j := await(t, f, id)
	require.Equal(t, foreman.Done, j.State, j.Error)
	require.Equal(t, 1, j.Attempt)
	require.Len(t, asked(here, "/api/generate"), 1)
	require.True(t, pools[0].Serves("none"), "now all have said what they have")

	there.Close()
	require.Error(t, pools[1].Backend.(*ollama.Backend).Check(limited(t)))
	require.True(t, pools[1].Serves("b"), "what it had still counts")
	require.False(t, pools[0].Serves("b"))
	id = submit(t, f, "b", `{"prompt":"x"}`)
	require.Equal(t, foreman.Done, await(t, f, submit(t, f, "a", `{"prompt":"x"}`)).State)
	ollamatest.New(t, &ollamatest.Options{Addr: addr, Models: map[string]ollamatest.Behavior{"b": {}, "c": {}}})
	require.Equal(t, foreman.Done, await(t, f, id).State)
	require.True(t, pools[1].Serves("c"), "it has been asked before it was given work again")
	require.False(t, pools[0].Serves("c"))
}

// Servers of OpenAI's API have what no Ollama has, and nothing of /api.
func TestServersOfBothKinds(t *testing.T) {
	l := newFleet(t, nil, []string{"v1", "Org/Big", "both"}, []string{"llama3", "both"})
	for model, want := range map[string][]int{"v1": {0}, "Org/Big": {0}, "llama3": {1}, "both": {1}, "none": {1}} {
		require.Equal(t, want, l.serving(model), model)
	}
	for _, model := range []string{"Org/Big", "llama3", "both"} {
		require.Equal(t, 200, call(limited(t), "POST", l.front.URL+"/v1/chat/completions", chat(model, "x")).status, model)
		require.Equal(t, foreman.Done, await(t, l.f, submit(t, l.f, model, `{"messages":[{"role":"user","content":"x"}]}`)).State, model)
	}
	require.Len(t, l.servers[0].Requests("/v1/chat/completions"), 2)
	a := call(limited(t), "POST", l.front.URL+"/api/chat", chat("Org/Big", "x"))
	require.Equal(t, 404, a.status)
	require.Equal(t, `{"error":"model 'Org/Big' not found"}`, a.body, "as an Ollama says it")
	for path, body := range generations {
		body = strings.ReplaceAll(body, "llama3", "none")
		direct, got := call(limited(t), "POST", l.servers[1].URL()+path, body), call(limited(t), "POST", l.front.URL+path, body)
		require.Equal(t, direct.body, got.body, path)
	}
	require.ElementsMatch(t, []string{"v1:latest", "Org/Big:latest", "llama3:latest", "both:latest"}, names(t, call(limited(t), "GET", l.front.URL+"/v1/models", "")))
	require.Equal(t, 200, call(limited(t), "GET", l.front.URL+"/v1/models/v1", "").status)
	require.ElementsMatch(t, []string{"llama3:latest", "both:latest"}, names(t, call(limited(t), "GET", l.front.URL+"/api/tags", "")))
}
