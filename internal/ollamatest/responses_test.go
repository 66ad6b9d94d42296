package ollamatest_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

// kinds are the types of the events of a stream, and the text that they add up to.
func kinds(t *testing.T, body string) (kinds []string, text string) {
	t.Helper()
	for _, e := range events(t, body) {
		var v struct {
			Type  string
			Delta any
		}
		require.NoError(t, json.Unmarshal([]byte(e), &v))
		kinds = append(kinds, v.Type)
		switch d := v.Delta.(type) {
		case string:
			text += d
		case map[string]any:
			for _, name := range []string{"thinking", "text", "partial_json"} {
				part, _ := d[name].(string)
				text += part
			}
		}
	}
	return kinds, text
}

var talkative = map[string]ollamatest.Behavior{
	"llama3": {},
	"thinks": {Thinking: "hm "},
	"calls":  {ToolCalls: json.RawMessage(`[{"id":"call_1","function":{"name":"f","arguments":{}}}]`)},
}

func TestResponses(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Now: fixed, Models: talkative})
	a := post(t, s, "/v1/responses", `{"model":"llama3","input":"a b","instructions":"be short"}`)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Contains(t, a.body, `"object":"response","created_at":1795395723,"completed_at":1795395723,"status":"completed","incomplete_details":null,"model":"llama3","previous_response_id":null,"instructions":"be short","output":[{"id":"msg_`)
	require.Contains(t, a.body, `"type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a b","annotations":[],"logprobs":[]}]}]`)
	require.Contains(t, a.body, `"usage":{"input_tokens":2,"output_tokens":2,"total_tokens":4,`)

	const created, progress, completed = "response.created", "response.in_progress", "response.completed"
	const added, delta, done = "response.output_item.added", "response.output_text.delta", "response.output_item.done"
	message := []string{added, "response.content_part.added", delta, delta, "response.output_text.done", "response.content_part.done", done}
	for model, want := range map[string][]string{
		"llama3": append(append([]string{created, progress}, message...), completed),
		"thinks": append(append([]string{
			created, progress, added, "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", done,
		}, message...), completed),
		"calls": {
			created, progress, added, "response.content_part.added", delta, delta,
			added, "response.function_call_arguments.delta", "response.function_call_arguments.done", done, completed,
		},
	} {
		a = post(t, s, "/v1/responses", `{"model":"`+model+`","stream":true,"input":[{"role":"user","content":[{"type":"input_text","text":"a b"}]}]}`)
		require.Equal(t, "text/event-stream", a.header.Get("Content-Type"))
		require.Equal(t, "no-cache", a.header.Get("Cache-Control"))
		got, text := kinds(t, a.body)
		require.Equal(t, want, got, model)
		require.Contains(t, text, "a b")
	}
}

func TestMessages(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Models: talkative})
	ask := func(model, more string) string {
		return `{"model":"` + model + `","max_tokens":9,"system":"be short","messages":[{"role":"user","content":"a b"}]` + more + `}`
	}
	a := post(t, s, "/v1/messages", ask("llama3", ""))
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Contains(t, a.body, `"type":"message","role":"assistant","model":"llama3","content":[{"type":"text","text":"a b"}],"stop_reason":"end_turn","usage":{"input_tokens":2,"output_tokens":2}}`+"\n")
	require.Contains(t, post(t, s, "/v1/messages", ask("calls", "")).body, `{"type":"tool_use","id":"call_1","name":"f","input":{}}],"stop_reason":"tool_use"`)

	const start, delta, stop = "content_block_start", "content_block_delta", "content_block_stop"
	for model, want := range map[string][]string{
		"llama3": {"message_start", start, delta, delta, stop, "message_delta", "message_stop"},
		"thinks": {"message_start", start, delta, stop, start, delta, delta, stop, "message_delta", "message_stop"},
		"calls":  {"message_start", start, delta, delta, stop, start, delta, stop, "message_delta", "message_stop"},
	} {
		a = post(t, s, "/v1/messages", ask(model, `,"stream":true`))
		require.Equal(t, "text/event-stream", a.header.Get("Content-Type"))
		got, text := kinds(t, a.body)
		require.Equal(t, want, got, model)
		require.Contains(t, text, "a b")
		require.Contains(t, a.body, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
	}
}

func TestMessagesErrors(t *testing.T) {
	s := ollamatest.New(t, nil)
	text := `[{"role":"user","content":"a"}]`
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"no body", ``, 400, `{"type":"invalid_request_error","message":"EOF"}`},
		{"no model", `{"max_tokens":1,"messages":` + text + `}`, 400, `{"type":"invalid_request_error","message":"model is required"}`},
		{"no max_tokens", `{"model":"llama3","messages":` + text + `}`, 400, `{"type":"invalid_request_error","message":"max_tokens is required and must be positive"}`},
		{"no messages", `{"model":"llama3","max_tokens":1}`, 400, `{"type":"invalid_request_error","message":"messages is required"}`},
		{"unknown model", `{"model":"x","max_tokens":1,"messages":` + text + `}`, 404, `{"type":"not_found_error","message":"model 'x' not found"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, s, "/v1/messages", c.body)
			require.Equal(t, c.status, a.status)
			require.Contains(t, a.body, `{"type":"error","error":`+c.want+`,"request_id":"req_`)
		})
	}
}
