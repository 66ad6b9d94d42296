package ollama_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// made is the job that a call has become.
func made(t *testing.T, a answer) (job struct{ ID ulid.ULID }) {
	t.Helper()
	require.NoError(t, a.err)
	var j struct {
		ID ulid.ULID `json:"job_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &j), a.body)
	return struct{ ID ulid.ULID }{j.ID}
}

func TestRespondAsync(t *testing.T) {
	r := newRig(t, setUp{})
	for path, body := range generations {
		t.Run(path, func(t *testing.T) {
			a := call(limited(t), "POST", r.front.URL+path, body, "Prefer", "respond-async")
			require.Equal(t, 202, a.status, a.body)
			require.Equal(t, "respond-async", a.header.Get("Preference-Applied"))
			j := await(t, r.f, made(t, a).ID)
			require.Equal(t, "/jobs/"+j.ID.String(), a.header.Get("Location"))
			require.Equal(t, foreman.Done, j.State, "%v", j.Error)
			require.Equal(t, "llama3", j.Spec.Model)
			sent := asked(r.model, path)
			require.Len(t, sent, 1)
			require.Equal(t, body, string(sent[0].Body))
			direct := call(limited(t), "POST", r.model.URL()+path, strings.Replace(body, "{", `{"stream":false,`, 1))
			require.Equal(t, len(direct.body) > 0, len(artifact(t, r.f, j.ID)) > 0)
			if strings.HasPrefix(path, "/v1") { // /api streams if nothing is said
				require.JSONEq(t, withoutIDs(direct.body), withoutIDs(artifact(t, r.f, j.ID)))
			}
		})
	}
}

// withoutIDs takes out what follows from the bytes of a request.
func withoutIDs(answer string) string {
	var o map[string]any
	if json.Unmarshal([]byte(answer), &o) != nil {
		return answer
	}
	for _, name := range []string{"id", "created", "created_at", "completed_at", "output"} {
		delete(o, name)
	}
	b, err := json.Marshal(o)
	if err != nil {
		return answer
	}
	return string(b)
}

func TestRespondAsyncAsOnTheJobsSurface(t *testing.T) {
	r := newRig(t, setUp{})
	const path = "/v1/chat/completions"
	body := chat("llama3", "a")
	ask := func(header ...string) answer {
		return call(limited(t), "POST", r.front.URL+path, body, header...)
	}
	first := ask("Prefer", "respond-async", "Idempotency-Key", "k")
	again := ask("Prefer", "respond-async", "Idempotency-Key", "k")
	require.Equal(t, 202, first.status)
	require.Equal(t, 200, again.status)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, made(t, first).ID, made(t, again).ID)

	other := call(limited(t), "POST", r.front.URL+path, chat("llama3", "b"), "Prefer", "respond-async", "Idempotency-Key", "k")
	require.Equal(t, 422, other.status)
	require.Equal(t, "application/problem+json", other.header.Get("Content-Type"))
	require.Empty(t, other.header.Get("Preference-Applied"))

	ended := ask("Prefer", "respond-async, wait=30")
	require.Equal(t, 200, ended.status)
	require.ElementsMatch(t, []string{"wait=30", "respond-async"}, ended.header.Values("Preference-Applied"))
	require.Equal(t, foreman.Done, status(t, r.f, made(t, ended).ID).State)
}

func TestRespondAsyncRefused(t *testing.T) {
	r := newRig(t, setUp{})
	for body, want := range map[string]string{
		`{"model":"llama3"},"priority":100,"x":{"model":"llama3"}`: "must be one JSON object",
		`{"model":"llama3"}{}`: "must be one JSON object",
		`{"messages":[]}`:      "model is required",
		`{"model":`:            "unexpected EOF",
	} {
		a := call(limited(t), "POST", r.front.URL+"/api/chat", body, "Prefer", "respond-async")
		require.Equal(t, 400, a.status, body)
		require.Contains(t, a.body, want)
	}
	jobs, err := r.f.List(t.Context(), foreman.Query{})
	require.NoError(t, err)
	require.Empty(t, jobs.Jobs)
}

// The links of a job lead to it wherever the surfaces are mounted, and it is its owner's.
func TestRespondAsyncLinks(t *testing.T) {
	r := newRig(t, setUp{})
	for _, c := range []struct {
		name, prefix, jobs, want string
	}{
		{"at the root", "", "", "/jobs/"},
		{"below a prefix", "/team%20a", "", "/team%20a/jobs/"},
		{"jobs elsewhere", "/ollama", "/queue/", "/queue/jobs/"},
		{"jobs at the root", "/ollama", "/", "/jobs/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefix := strings.ReplaceAll(c.prefix, "%20", " ")
			h := http.StripPrefix(prefix, ollama.Handler(r.f, &ollama.HandlerOptions{Jobs: c.jobs}))
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				h.ServeHTTP(w, q.WithContext(foreman.WithCaller(q.Context(), foreman.Caller{Owner: "alice"})))
			}))
			defer front.Close()
			a := call(limited(t), "POST", front.URL+c.prefix+"/api/chat?x=1", chat("llama3", "a"), "Prefer", "respond-async")
			require.Equal(t, 202, a.status)
			id := made(t, a).ID
			require.Equal(t, c.want+id.String(), a.header.Get("Location"))
			require.Contains(t, a.body, `"self":"`+c.want+id.String()+`"`)
			require.Equal(t, "alice", status(t, r.f, id).Spec.Owner)
			await(t, r.f, id)
		})
	}
}

// A body that is for another path than its members tell becomes a job for its own path.
func TestRespondAsyncKeepsThePath(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{}})
	a := call(limited(t), "POST", r.front.URL+"/api/generate", `{"model":"llama3","prompt":"a","messages":[]}`, "Prefer", "respond-async")
	require.Equal(t, 202, a.status)
	j := await(t, r.f, made(t, a).ID)
	require.Equal(t, foreman.Done, j.State)
	require.Len(t, asked(r.model, "/api/generate"), 1)
}
