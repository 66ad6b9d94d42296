package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

func modelServer(t *testing.T, model string) *ollamatest.Server {
	return ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{model: {}}})
}

func chat(model string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"one two"}]}`
}

// Two servers of Ollama and one of OpenAI's API, each with a model: work goes where its
// model is.
func TestSeveralServers(t *testing.T) {
	small, large, other := modelServer(t, "small"), modelServer(t, "large"), modelServer(t, "other")
	p := start(t, "-ollama", small.URL()+","+large.URL(), "-openai", other.URL()+"/v1")
	for model, server := range map[string]*ollamatest.Server{"small": small, "large:latest": large, "other": other} {
		j := post(t, p.url+"/jobs", chat(model), "Prefer: wait=10").job(t)
		require.Equal(t, "done", j.State, "%s: %v", model, j.Error)
		require.Equal(t, http.StatusOK, post(t, p.url+"/v1/chat/completions", chat(model)).status)
		jobs := len(server.Requests("/api/chat"))
		if server == other {
			jobs = len(server.Requests("/v1/chat/completions")) - 1
		}
		require.Equal(t, 1, jobs)
		require.NotEmpty(t, server.Requests("/v1/chat/completions"))
	}
	a, direct := post(t, p.url+"/api/chat", chat("none")), post(t, small.URL()+"/api/chat", chat("none"))
	require.Equal(t, direct.status, a.status)
	require.Equal(t, string(direct.body), string(a.body))
	for _, pool := range []string{"ollama 1", "ollama 2", "openai"} {
		require.Contains(t, string(get(t, p.url+"/queue").body), `"pool":"`+pool+`"`)
	}
}

// With servers of OpenAI's API alone there is no Ollama.
func TestOpenAIAlone(t *testing.T) {
	server := modelServer(t, "m")
	p := start(t, "-openai", server.URL())
	require.Equal(t, http.StatusOK, post(t, p.url+"/v1/chat/completions", chat("m")).status)
	require.Equal(t, "done", post(t, p.url+"/jobs", chat("m"), "Prefer: wait=10").job(t).State)
	require.Equal(t, http.StatusNotFound, get(t, p.url+"/api/tags").status)
	require.Contains(t, string(get(t, p.url+"/v1/models").body), `"m:latest"`)
	require.Equal(t, http.StatusOK, get(t, p.url+"/readyz").status)
}

// Callers who wait are bounded in number, in time and in memory; jobs are not.
func TestBoundsOnCallers(t *testing.T) {
	step := make(chan struct{})
	server := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"m": {Step: step}}})
	t.Cleanup(func() { close(step) })
	runs := func(p *process) { // callers would go before a job that has not begun
		id := post(t, p.url+"/jobs", chat("m")).job(t).ID
		require.Eventually(t, func() bool {
			a, err := send(http.MethodGet, p.url+"/queue", "")
			return err == nil && strings.Contains(string(a.body), `"running":[{"job_id":"`+id)
		}, patience, 20*time.Millisecond)
	}
	p := start(t, "-ollama", server.URL(), "-max-caller-wait", "50ms", "-max-caller-bodies", "1")
	runs(p)
	a := post(t, p.url+"/api/chat", chat("m"))
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Contains(t, string(a.body), "server busy, please try again.  place 1 in the queue after")

	a = post(t, p.url+"/api/chat", chat("m")+strings.Repeat(" ", 1<<20))
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Contains(t, string(a.body), "take up 1048576 bytes already")

	p.kill()
	p = start(t, "-ollama", server.URL(), "-max-callers", "1")
	runs(p)
	one := make(chan answer, 2)
	for range 2 {
		go func() {
			a, _ := send(http.MethodPost, p.url+"/api/chat", chat("m"))
			one <- a
		}()
	}
	a = <-one
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Contains(t, string(a.body), "maximum pending requests exceeded: this would be place 2 in the queue")
	p.kill()
	<-one
}
