package ollama_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// wrapped is a backend around another one, as programs have them.
type wrapped struct{ *ollama.Backend }

// several is a gateway in front of two servers: one has a and both, the other b and
// both, and each is asked for what it has.
func several(t *testing.T, o *ollama.HandlerOptions) (front string, servers [2]*ollamatest.Server) {
	t.Helper()
	var pools foreman.Pools
	for i, name := range []string{"a", "b"} {
		servers[i] = ollamatest.New(t, &ollamatest.Options{Now: fixed, Models: map[string]ollamatest.Behavior{name: {}, "both": {}, "hidden": {}}})
		pools = append(pools, foreman.Pool{
			Name: name, Backend: wrapped{newBackend(t, &ollama.Options{URL: servers[i].URL()})},
			Serves: func(model string) bool { return model == name || model == "both" },
		})
	}
	none := foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil })
	pools = append(pools, foreman.Pool{Name: "function", Backend: none, Serves: func(model string) bool { return model == "function" }})
	f, _ := newForeman(t, pools, nil)
	s := httptest.NewServer(ollama.Handler(f, o))
	t.Cleanup(s.Close)
	return s.URL, servers
}

func TestServerOfTheSlotAnswers(t *testing.T) {
	front, servers := several(t, nil)
	for i, model := range []string{"a", "b"} {
		a := call(limited(t), "POST", front+"/v1/chat/completions", chat(model, "x"))
		require.Equal(t, 200, a.status)
		require.Len(t, asked(servers[i], "/v1/chat/completions"), 1)
	}
	for path, want := range map[string]string{
		"/api/chat":            `{"error":"model 'hidden' not found"}`,
		"/v1/chat/completions": `{"error":{"message":"model 'hidden' not found","type":"not_found_error","param":null,"code":null}}` + "\n",
	} {
		a := call(limited(t), "POST", front+path, chat("hidden", "x"))
		require.Equal(t, 404, a.status, "no pool serves it")
		require.Equal(t, want, a.body)
	}
	a := call(limited(t), "POST", front+"/api/chat", chat("function", "x"))
	require.Equal(t, 404, a.status, "its backend is no model server")
	require.Equal(t, 400, call(limited(t), "POST", front+"/api/chat", `{}`).status)
}

// names are the models of a list, in its order.
func names(t *testing.T, a answer) (out []string) {
	t.Helper()
	require.Equal(t, 200, a.status)
	var l struct {
		Models []struct{ Name string }
		Data   []struct{ ID string }
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &l))
	for _, m := range l.Models {
		out = append(out, m.Name)
	}
	for _, m := range l.Data {
		out = append(out, m.ID)
	}
	return out
}

func TestListsArePutTogether(t *testing.T) {
	front, servers := several(t, nil)
	for _, path := range []string{"/api/tags", "/v1/models"} {
		direct := call(limited(t), "GET", servers[0].URL()+path, "")
		a := call(limited(t), "GET", front+path, "")
		require.Equal(t, []string{"a:latest", "both:latest", "b:latest"}, names(t, a))
		require.Equal(t, direct.header.Get("Content-Type"), a.header.Get("Content-Type"))
		require.Equal(t, strings.HasSuffix(direct.body, "\n"), strings.HasSuffix(a.body, "\n"))
		entry, _, _ := strings.Cut(direct.body, "},{")
		require.True(t, strings.HasPrefix(a.body, entry), "what a server says of a model stays as it is")
		head := call(limited(t), "HEAD", front+path, "")
		require.Equal(t, a.header.Get("Content-Length"), head.header.Get("Content-Length"))
		require.Empty(t, head.body)
	}
	for _, s := range servers {
		require.Equal(t, 200, call(limited(t), "POST", s.URL()+"/api/generate", `{"model":"both"}`).status)
	}
	require.Equal(t, []string{"both:latest", "both:latest"}, names(t, call(limited(t), "GET", front+"/api/ps", "")), "it is loaded on each")
}

func TestReadsGoWhereTheyAreAnswered(t *testing.T) {
	front, servers := several(t, nil)
	show := func(model string) answer {
		return call(limited(t), "POST", front+"/api/show", `{"model":"`+model+`"}`)
	}
	require.Equal(t, 200, show("a").status)
	require.Equal(t, 200, show("b").status, "the other one has it")
	require.Equal(t, `{"error":"model 'none' not found"}`, show("none").body)
	require.Equal(t, 200, call(limited(t), "GET", front+"/v1/models/b", "").status)
	require.Equal(t, 405, call(limited(t), "GET", front+"/api/show", "").status)

	servers[0].Close()
	require.Equal(t, 200, call(limited(t), "GET", front+"/api/version", "").status)
	require.Equal(t, 200, call(limited(t), "HEAD", front+"/", "").status)
	require.Equal(t, []string{"b:latest", "both:latest"}, names(t, call(limited(t), "GET", front+"/api/tags", "")))
	require.Equal(t, 200, show("b").status)
	require.Equal(t, 404, show("a").status)

	servers[1].Close()
	for _, path := range []string{"/api/version", "/api/tags", "/v1/models/b"} {
		require.Equal(t, 502, call(limited(t), "GET", front+path, "").status, path)
	}
}

func TestChanges(t *testing.T) {
	changes := map[string]string{
		"/api/pull": "POST", "/api/push": "POST", "/api/create": "POST", "/api/copy": "POST", "/api/delete": "DELETE",
		"/api/blobs/sha256:" + strings.Repeat("0", 64): "HEAD", "/api/%70ull": "POST",
	}
	front, servers := several(t, nil)
	for path, method := range changes {
		a := call(limited(t), method, front+path, `{}`)
		require.Equal(t, 403, a.status, path)
		if method != "HEAD" {
			require.Equal(t, `{"error":"calls that change the model server are not allowed here"}`, a.body)
		}
	}
	require.Empty(t, servers[0].Requests("/api/pull"))

	front, servers = several(t, &ollama.HandlerOptions{AllowChanges: true, MaxBody: 10})
	large := strings.Repeat("x", 1000)
	a := call(limited(t), "POST", front+"/api/blobs/sha256:"+strings.Repeat("0", 64), large)
	require.Equal(t, 400, a.status, "the digest is another")
	require.Equal(t, 200, call(limited(t), "POST", front+"/api/copy", `{"source":"a","destination":"c"}`).status)
	require.Len(t, servers[0].Requests("/api/copy"), 1)
	require.Empty(t, servers[1].Requests("/api/copy"))

	f, _ := newForeman(t, newBackend(t, &ollama.Options{URL: servers[0].URL()}), nil)
	h := ollama.Handler(f, &ollama.HandlerOptions{AllowChanges: true})
	for admin, status := range map[bool]int{false: 403, true: 200} {
		w := httptest.NewRecorder()
		q := httptest.NewRequest("POST", "/api/copy", strings.NewReader(`{"source":"a","destination":"d"}`))
		h.ServeHTTP(w, q.WithContext(foreman.WithCaller(t.Context(), foreman.Caller{Owner: "alice", Admin: admin})))
		require.Equal(t, status, w.Code)
	}
}

// A server of OpenAI's API has /v1, also in its URL, and nothing else.
func TestOpenAIServer(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Now: fixed})
	b := newBackend(t, &ollama.Options{URL: s.URL() + "/v1/", API: ollama.OpenAIAPI})
	f, _ := newForeman(t, b, nil)
	front := httptest.NewServer(ollama.Handler(f, nil))
	t.Cleanup(front.Close)

	for path, body := range generations {
		a := call(limited(t), "POST", front.URL+path, body)
		if !strings.HasPrefix(path, "/v1/") {
			require.Equal(t, 404, a.status)
			require.Equal(t, "404 page not found", a.body)
			continue
		}
		require.Equal(t, 200, a.status, path)
		a = call(limited(t), "POST", front.URL+path, `{}`)
		require.Equal(t, 400, a.status)
		require.Contains(t, a.body, "you must provide a model parameter", "such a server may not ask for one")
	}
	require.Equal(t, 404, call(limited(t), "GET", front.URL+"/api/tags", "").status)
	require.Equal(t, []string{"llama3:latest"}, names(t, call(limited(t), "GET", front.URL+"/v1/models", "")))

	for input, path := range map[string]string{
		`{"messages":[{"role":"user","content":"a"}]}`:               "/v1/chat/completions",
		`{"messages":[{"role":"user","content":"a"}],"stream":true}`: "/v1/chat/completions",
		`{"prompt":"a"}`: "/v1/completions",
		`{"input":"a"}`:  "/v1/embeddings",
		`{"path":"/v1/messages","body":{"max_tokens":1,"messages":[{"role":"user","content":"a"}]}}`: "/v1/messages",
	} {
		before := len(s.Requests(path))
		j := await(t, f, submit(t, f, "llama3", input))
		require.Equal(t, foreman.Done, j.State, "%s: %v", input, j.Error)
		require.Len(t, s.Requests(path), before+1)
	}
	j := await(t, f, submit(t, f, "llama3", `{"path":"/api/chat","body":{"messages":[]}}`))
	require.Equal(t, foreman.BackendRejected, j.Error.Type)
	require.Contains(t, j.Error.Message, "use a path of /v1")
	require.NoError(t, b.Check(limited(t)))
	_, err := ollama.New(&ollama.Options{API: "grpc"})
	require.ErrorContains(t, err, `"ollama" or "openai"`)
}

// A key by which a job is not made twice must not make net/http send a call twice: of a
// connection that ends before the answer nobody knows what has come of the call.
func TestNothingIsSentTwice(t *testing.T) {
	var calls atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/chat" {
			if calls.Add(1) > 1 {
				panic(http.ErrAbortHandler)
			}
		}
	}))
	t.Cleanup(upstream.Close)
	f, _ := newForeman(t, onlyCalls{newBackend(t, &ollama.Options{URL: upstream.URL})}, nil)
	front := httptest.NewServer(ollama.Handler(f, nil))
	t.Cleanup(front.Close)
	require.Equal(t, 200, call(limited(t), "POST", front.URL+"/api/chat", chat("m", "a"), "Idempotency-Key", "k").status)
	a := call(limited(t), "POST", front.URL+"/api/chat", chat("m", "a"), "Idempotency-Key", "k")
	require.Equal(t, 502, a.status)
	require.JSONEq(t, `{"error":"the model server ended the connection before it answered"}`, a.body)
	require.EqualValues(t, 2, calls.Load(), "over a connection that was there already")
}

// onlyCalls is a server that is asked for nothing but what callers ask.
type onlyCalls struct{ server *ollama.Backend }

func (b onlyCalls) Run(ctx context.Context, t *foreman.Task) error { return b.server.Run(ctx, t) }

func (b onlyCalls) Server() *ollama.Backend { return b.server }

var _ ollama.Upstream = onlyCalls{}
