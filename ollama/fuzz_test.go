package ollama_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

func FuzzNewCall(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[]}`, `{}`, ` { } `, `{"model":"m"}`, `{"Model":"m","prompt":""}`, `{"input":["a"]}`, `{"input":1,"prompt":2}`,
		`{"a":"{\"model\":1}"}`, `[{}]`, `{"a":1}{}`, `{"a":1,}`, `{"mode\u006c":"m"}`, `{"model":"m","MODEL":"x"}`,
		`{"a":1e999,"b":[[[[]]]]}`, "\xef\xbb\xbf{}", `null`, ``,
	} {
		f.Add([]byte(seed), "m")
	}
	f.Add([]byte(`{"x":1}`), `<"\>&`)
	f.Fuzz(func(t *testing.T, input []byte, model string) {
		if !utf8.ValidString(model) {
			t.Skip("no name of a model")
		}
		path, body, err := ollama.NewCall(input, model)
		var members map[string]json.RawMessage
		if json.Unmarshal(input, &members) != nil || members == nil {
			require.Error(t, err)
			return
		}
		if err != nil {
			named := func(name string) bool { return strings.EqualFold(name, "model") }
			require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(members)), named), "only a model that is named can be wrong")
			return
		}
		var request struct{ Model string }
		require.NoError(t, json.Unmarshal(body, &request))
		require.Equal(t, model, request.Model, "what Ollama takes for the model")

		var sent map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &sent))
		if len(body) == len(input) {
			require.Equal(t, string(input), string(body))
		} else {
			require.True(t, bytes.HasSuffix(body, input[bytes.IndexByte(input, '{')+1:]), "every byte is kept")
			delete(sent, "model")
		}
		require.Equal(t, members, sent)
		_, chat := members["messages"]
		if chat {
			require.Equal(t, "/api/chat", path)
		}
	})
}

func FuzzReadStream(f *testing.F) {
	for _, seed := range []string{
		`{"message":{"role":"assistant","content":"a"},"done":false}` + "\n" + `{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":1}` + "\n",
		`{"response":"a","thinking":"t","logprobs":[{"token":"a"}]}` + "\n\n" + `{"response":"","done":true,"context":[1]}`,
		`{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]}}` + "\n" + `{"message":null,"done":true}`,
		`{"error":"no"}`, `{"done":true}` + "\n" + `{"error":"late"}`, `{"done":tru`, `null`, `[]`, ``,
		`{"response":"a\ud800","done":true,"done":true,"Done":false}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var told strings.Builder
		whole, err := ollama.ReadStream(bytes.NewReader(stream), 1<<20, func(s string) { told.WriteString(s) })
		if err != nil {
			_, known := errors.AsType[*foreman.Failure](err)
			require.True(t, known, "%v", err)
			return
		}
		var r struct {
			Message            *struct{ Content, Thinking string }
			Response, Thinking string
			Done               bool
		}
		require.NoError(t, json.Unmarshal(whole, &r))
		require.True(t, r.Done)
		if r.Message != nil {
			r.Response, r.Thinking = r.Message.Content, r.Message.Thinking
		}
		require.Len(t, told.String(), len(r.Response)+len(r.Thinking), "what was told is what there is")

		again, err := ollama.ReadStream(bytes.NewReader(whole), 1<<22, func(string) {})
		require.NoError(t, err)
		require.Equal(t, string(whole), string(again), "an answer in one piece stays what it is")
	})
}

func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{
		`data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}` + "\n\n" +
			`data: {"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n",
		`data: {"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]},"finish_reason":"tool_calls"}]}` + "\ndata: [DONE]",
		`data: {"choices":[{"text":"a","logprobs":{"tokens":["a"]},"finish_reason":"length"}],"usage":{}}` + "\ndata:[DONE]",
		`data: {"error":{"message":"no"}}`, ": comment\nevent: x\ndata: null", "data: [DONE]", "data: {}\ndata: [DONE]", "",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, stream []byte, chat bool) {
		path := "/v1/completions"
		if chat {
			path = "/v1/chat/completions"
		}
		whole, err := ollama.ReadEvents(bytes.NewReader(stream), 1<<20, path, func(string) {})
		if err != nil {
			_, known := errors.AsType[*foreman.Failure](err)
			require.True(t, known, "%v", err)
			return
		}
		var r struct {
			Object  string
			Choices []struct {
				FinishReason any `json:"finish_reason"`
			}
		}
		require.NoError(t, json.Unmarshal(whole, &r))
		require.NotEmpty(t, r.Choices)
		for _, c := range r.Choices {
			require.NotNil(t, c.FinishReason)
		}
	})
}
