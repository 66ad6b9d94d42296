package ollama_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// What can only be refused is, while another call keeps the slot for as long as it
// likes, in the words of the server.
func TestUnknownModelsDoNotWait(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{})
	for path, body := range generations {
		for _, name := range []string{"none", "llama3 num_ctx=8192"} {
			body := strings.Replace(body, "llama3", name, 1)
			direct, got := call(limited(t), "POST", r.model.URL()+path, body), call(limited(t), "POST", r.front.URL+path, body)
			require.Equal(t, 404, got.status, path)
			require.Equal(t, direct.body, got.body, path)
			require.Equal(t, direct.header.Get("Content-Type"), got.header.Get("Content-Type"), path)
		}
	}
	close(step)
	require.Equal(t, 200, (<-holder).status)
}

// What keeps no model busy has none loaded for it, and none put out.
func TestCallsForNothingSwapNothing(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		status           int
	}{
		{"a model that there is not", "/api/generate", `{"model":"none","prompt":"x"}`, 404},
		{"one whose name looks like a lane", "/api/generate", `{"model":"a num_ctx=8192","prompt":"x"}`, 404},
		{"to load a model that there is not", "/api/generate", `{"model":"none"}`, 404},
		{"to unload what is not loaded", "/api/generate", `{"model":"b","keep_alive":0}`, 200},
		{"the same by chat", "/api/chat", `{"model":"b","messages":[],"keep_alive":"0s"}`, 200},
		{"to unload a model that there is not", "/api/chat", `{"model":"none","keep_alive":0}`, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, setUp{model: ofOllama(ollamatest.Options{Now: fixed}, "a", "b")})
			require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", chat("a", "x")).status)
			got, direct := call(limited(t), "POST", r.front.URL+c.path, c.body), call(limited(t), "POST", r.model.URL()+c.path, c.body)
			require.Equal(t, c.status, got.status)
			require.Equal(t, direct.body, got.body)
			require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", chat("a", "x")).status)
			require.Equal(t, 1, r.model.Stats().Loads)
			require.Zero(t, r.model.Stats().Unloads)
		})
	}
	t.Run("a job", func(t *testing.T) {
		r := newRig(t, setUp{model: ofOllama(ollamatest.Options{}, "a")})
		require.Equal(t, foreman.Done, await(t, r.f, submit(t, r.f, "a", `{"prompt":"x"}`)).State)
		j := await(t, r.f, submit(t, r.f, "none", `{"prompt":"x"}`))
		require.Equal(t, foreman.BackendRejected, j.Error.Type)
		require.Equal(t, "model 'none' not found", j.Error.Message)
		require.Equal(t, foreman.Done, await(t, r.f, submit(t, r.f, "a", `{"prompt":"x"}`)).State)
		require.Equal(t, 1, r.model.Stats().Loads)
		require.Zero(t, r.model.Stats().Unloads)
	})
}

// What unloads a model is for the lane that the model is in, whatever that is.
func TestUnloadIsForTheLaneThatIsLoaded(t *testing.T) {
	r := newRig(t, setUp{model: ofOllama(ollamatest.Options{}, "m")})
	body := `{"model":"m","prompt":"x","options":{"num_ctx":8192}}`
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/generate", body).status)
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/generate", `{"model":"m","keep_alive":0}`).status)
	require.Equal(t, 1, r.model.Stats().Loads)
	require.Equal(t, 1, r.model.Stats().Unloads)
}

// These look like it and generate, or load: they wait for their turn.
func TestCallsThatDoSomethingWait(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{})
	var waiting []<-chan answer
	for path, bodies := range map[string][]string{
		"/api/generate": {
			`{"model":"llama3","prompt":"x","keep_alive":0}`, `{"model":"llama3","keep_alive":1}`, `{"model":"llama3","keep_alive":"x"}`,
			`{"model":"llama3","keep_alive":null}`, `{"model":"llama3","prompt":7,"keep_alive":0}`,
		},
		"/api/chat":       {`{"model":"llama3","messages":[{"role":"user","content":"x"}],"keep_alive":0}`},
		"/v1/completions": {`{"model":"llama3","keep_alive":0}`},
	} {
		for _, body := range bodies {
			waiting = append(waiting, goCall(limited(t), "POST", r.front.URL+path, body))
			waiters(t, r, len(waiting))
		}
	}
	close(step)
	require.Equal(t, 200, (<-holder).status)
	for _, a := range waiting {
		require.NoError(t, (<-a).err)
	}
}

// floodgate holds up what is asked of a server for callers.
type floodgate struct {
	next  http.RoundTripper
	asked atomic.Int32
	open  chan struct{}
}

func (g *floodgate) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/api/show" {
		g.asked.Add(1)
		select {
		case <-g.open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return g.next.RoundTrip(r)
}

// Whoever makes names up has the server asked for so many at once. The others wait for
// their turn, as far as there is room for them.
func TestManyUnknownModels(t *testing.T) {
	g := &floodgate{next: &http.Transport{DisableKeepAlives: true}, open: make(chan struct{})}
	r := newRig(t, setUp{backend: &ollama.Options{Transport: g}})
	var answers []<-chan answer
	for i := range 20 {
		answers = append(answers, goCall(limited(t), "POST", r.front.URL+"/api/chat", chat(fmt.Sprint("none", i), "x")))
	}
	require.Eventually(t, func() bool {
		q, err := r.f.Queue(t.Context())
		require.NoError(t, err)
		return len(q.Lanes) == 12 && g.asked.Load() == 9 // by those let in, and by the slot
	}, 20*time.Second, time.Millisecond)
	close(g.open)
	for _, a := range answers {
		require.Equal(t, 404, (<-a).status)
	}
	require.Zero(t, r.model.Stats().Loads)
}

// A call for what another kind of backend serves is refused, also while that is busy.
func TestModelsOfOtherBackendsDoNotWait(t *testing.T) {
	s := ollamatest.New(t, nil)
	begun, end := make(chan struct{}), make(chan struct{})
	f, _ := newForeman(t, foreman.Pools{
		{Name: "ollama", Backend: newBackend(t, &ollama.Options{URL: s.URL()}), Serves: func(m string) bool { return m != "program" }},
		{Name: "program", Serves: func(m string) bool { return m == "program" }, Backend: foreman.BackendFunc(func(context.Context, *foreman.Task) error {
			close(begun)
			<-end
			return nil
		})},
	}, nil)
	front := httptest.NewServer(ollama.Handler(f, nil))
	defer front.Close()
	id := submit(t, f, "program", `{}`)
	<-begun
	a := call(limited(t), "POST", front.URL+"/api/chat", chat("program", "x"))
	require.Equal(t, 404, a.status)
	require.Equal(t, `{"error":"model 'program' not found"}`, a.body)
	close(end)
	require.Equal(t, foreman.Done, await(t, f, id).State)
}

// Who does not want to wait gets a free place, or none.
func TestNoWait(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{handler: &ollama.HandlerOptions{MaxWait: time.Hour}})
	a := call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "x"), "Prefer", "wait=0")
	require.Equal(t, 503, a.status)
	require.Contains(t, a.body, "server busy, please try again.  place 1 in the queue after ")
	require.Equal(t, "wait=0", a.header.Get("Preference-Applied"))
	require.NotEmpty(t, a.header.Get("Retry-After"))
	close(step)
	require.Equal(t, 200, (<-holder).status)
	require.Eventually(t, func() bool { // as soon as the place is free, and the machine has the time
		return call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "x"), "Prefer", "wait=0").status == 200
	}, 20*time.Second, time.Millisecond)
}
