package ollama_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

func TestEnvelopes(t *testing.T) {
	for _, c := range []struct{ name, input, path, body, fault string }{
		{"of a call", `{"path":"/v1/embeddings","body":{"model":"m","input":"a"}}`, "/v1/embeddings", `{"model":"m","input":"a"}`, ""},
		{"in another order", `{"body": {"model":"m"} , "path":"/api/chat"}`, "/api/chat", `{"model":"m"}`, ""},
		{"without a model", `{"path":"/v1/completions","body":{"prompt":"a"}}`, "/v1/completions", `{"model":"m","prompt":"a"}`, ""},
		{"streams", `{"path":"/v1/chat/completions","body":{"stream":true}}`, "/v1/chat/completions", `{"model":"m","stream":true}`, ""},
		{"whose events are not read", `{"path":"/v1/messages","body":{"stream":true}}`, "/v1/messages", `{"model":"m"}`, ""},
		{"as Ollama reads it", `{"path":"/v1/responses","body":{"Model":"m","STREAM":true,"input":"a"}}`, "/v1/responses", `{"Model":"m","input":"a"}`, ""},
		{"is a body", `{"path":"/v1/messages","body":1,"prompt":"a"}`, "/api/generate", `{"model":"m","path":"/v1/messages","body":1,"prompt":"a"}`, ""},
		{"with more", `{"path":"/api/chat","body":{},"priority":1}`, "", "", "no others"},
		{"with one twice", `{"path":"/api/chat","body":{},"body":{}}`, "", "", "no others"},
		{"without a body", `{"path":"/api/chat"}`, "", "", "no others"},
		{"without a path", `{"body":{}}`, "", "", "no others"},
		{"of a read", `{"path":"/api/tags","body":{}}`, "", "", "must be one of /api/chat,"},
		{"of a change", `{"path":"/api/delete","body":{}}`, "", "", "must be one of /api/chat,"},
		{"of no path", `{"path":7,"body":{}}`, "", "", "must be one of /api/chat,"},
		{"of no object", `{"path":"/api/chat","body":[]}`, "", "", "must be a JSON object"},
		{"for another model", `{"path":"/api/chat","body":{"model":"n"}}`, "", "", "another model"},
		{"for another model too", `{"path":"/api/chat","body":{"model":"m","MODEL":"n"}}`, "", "", "another model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, body, err := ollama.NewCall([]byte(c.input), "m")
			if c.fault != "" {
				require.ErrorContains(t, err, c.fault)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.path, path)
			require.Equal(t, c.body, string(body))
		})
	}
}

// A streamed job of /v1 is told as it comes, and its result is what the server would have
// answered without streaming.
func TestStreamedCompletions(t *testing.T) {
	const calls = `[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"x":"<&>"}}}]`
	r := newRig(t, setUp{model: &ollamatest.Options{Now: fixed, Models: map[string]ollamatest.Behavior{
		"llama3": {}, "talks": {Thinking: "hm ", ToolCalls: []byte(calls)},
	}}})
	for _, c := range []struct{ path, model, body, output string }{
		{"/v1/chat/completions", "llama3", `"messages":[{"role":"user","content":"a <b> c"}]`, "a <b> c"},
		{"/v1/chat/completions", "talks", `"messages":[{"role":"user","content":"a b"}]`, "hm a b"},
		{"/v1/completions", "llama3", `"prompt":"a b c"`, "a b c"},
	} {
		body := `{"model":"` + c.model + `",` + c.body
		input := `{"path":"` + c.path + `","body":` + body + `,"stream":true,"stream_options":{"include_usage":true}}}`
		id := submit(t, r.f, c.model, input)
		j := await(t, r.f, id)
		require.Equal(t, foreman.Done, j.State, "%v", j.Error)
		direct := call(limited(t), "POST", r.model.URL()+c.path, body+"}")
		require.JSONEq(t, withoutIDs(strings.ReplaceAll(direct.body, `"index":0,"type":"function"`, `"type":"function"`)), withoutIDs(string(j.Result)))
	}
	var told strings.Builder
	_, err := ollama.ReadEvents(strings.NewReader(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}

data: {"choices":[{"index":0,"delta":{"content":" b"},"finish_reason":"stop"}]}

data: [DONE]
`), 1000, "/v1/chat/completions", func(s string) { told.WriteString(s + "|") })
	require.NoError(t, err)
	require.Equal(t, "a| b|", told.String())
}

func TestEndsOfCompletions(t *testing.T) {
	r := newRig(t, setUp{
		model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{
			"repeats": {End: ollamatest.Repeat, EndAfter: 1}, "dies": {End: ollamatest.Death, EndAfter: 1}, "cut": {End: ollamatest.Cut, EndAfter: 1},
		}},
		foreman: &foreman.Options{MaxAttempts: 1},
	})
	for _, c := range []struct {
		model, stream string
		want          foreman.ErrorType
		message       string
	}{
		{"repeats", "true", foreman.Incomplete, "without its end mark"},
		{"repeats", "false", foreman.Incomplete, "without its end mark"},
		{"dies", "true", foreman.Incomplete, "without its end mark"},
		{"dies", "false", foreman.BackendError, "unexpected EOF"},
		{"cut", "true", foreman.Incomplete, "cut off"},
		{"none", "true", foreman.BackendRejected, "model 'none' not found"},
	} {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			input := `{"path":"` + path + `","body":{"stream":` + c.stream + `,"prompt":"a b","messages":[{"role":"user","content":"a b"}]}}`
			j := await(t, r.f, submit(t, r.f, c.model, input))
			require.Equal(t, foreman.Failed, j.State)
			require.Equal(t, c.want, j.Error.Type, "%s %s %s", c.model, c.stream, path)
			require.Contains(t, j.Error.Message, c.message)
		}
	}
	for _, path := range []string{"/v1/messages", "/api/embeddings"} {
		input := `{"path":"` + path + `","body":{"max_tokens":1}}`
		j := await(t, r.f, submit(t, r.f, "none", input))
		require.Equal(t, foreman.BackendRejected, j.Error.Type)
		require.NotContains(t, j.Error.Message, "{", "it is the message of the error")
	}
}
