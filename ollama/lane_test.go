package ollama_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

func TestLane(t *testing.T) {
	b := newBackend(t, &ollama.Options{})
	for _, c := range []struct{ name, model, input, want string }{
		{"no options", "qwen3:30b", `{"prompt":"a"}`, "qwen3:30b"},
		{"no input", "qwen3:30b", ``, "qwen3:30b"},
		{"in order", "qwen3:30b", `{"options":{"num_gpu":1,"num_ctx":8192},"prompt":"a"}`, "qwen3:30b num_ctx=8192 num_gpu=1"},
		{"all that count", "m", `{"options":{"use_mmap":false,"num_thread":2,"num_gpu":0,"num_ctx":5,"num_batch":4,"main_gpu":1}}`, "m main_gpu=1 num_batch=4 num_ctx=5 num_gpu=0 num_thread=2 use_mmap=false"},
		{"none that counts", "m", `{"options":{"temperature":0.5,"seed":1,"top_k":2,"num_keep":3,"num_predict":4,"stop":["a"]}}`, "m"},
		{"numbers that are one", "m", `{"options":{"num_ctx":8.192e3,"num_batch":512.9,"main_gpu":-0}}`, "m main_gpu=0 num_batch=512 num_ctx=8192"},
		{"as many layers as are loaded", "m", `{"options":{"num_gpu":-1}}`, "m"},
		{"wrong types", "m", `{"options":{"num_ctx":"8192","use_mmap":1,"num_gpu":true,"num_batch":null,"num_thread":[1]}}`, "m"},
		{"beyond any number", "m", `{"options":{"num_ctx":1e300}}`, "m"},
		{"not even a number", "m", `{"options":{"num_ctx":1e400}}`, "m"},
		{"names of options have a case", "m", `{"options":{"NUM_CTX":8192}}`, "m"},
		{"names of members have none", "m", `{"Options":{"num_ctx":8192}}`, "m num_ctx=8192"},
		{"escaped", "m", `{"\u006fptions":{"num\u005fctx":8192}}`, "m num_ctx=8192"},
		{"two count", "m", `{"options":{"num_ctx":1,"num_gpu":1},"options":{"num_ctx":2}}`, "m num_ctx=2 num_gpu=1"},
		{"null does away with them", "m", `{"options":{"num_ctx":1},"options":null}`, "m"},
		{"no object", "m", `{"options":7}`, "m"},
		{"only at the top", "m", `{"x":{"options":{"num_ctx":1}},"y":"{\"options\":{\"num_ctx\":1}}"}`, "m"},
		{"behind what looks like an end", "m", `{"prompt":"a\\\"}\\\\","x":[{"}":"]"}],"options":{"num_ctx":1}}`, "m num_ctx=1"},
		{"white space", "m", " {\n\t\"options\" : { \"num_ctx\" : 1 } ,\r\n \"prompt\" : \"a\" } ", "m num_ctx=1"},
		{"cut off", "m", `{"options":{"num_ctx":1},"prompt":"a`, "m"},
		{"an array", "m", `[{"options":{"num_ctx":1}}]`, "m"},
		{"envelope of /v1", "m", `{"path":"/v1/chat/completions","body":{"options":{"num_ctx":1}}}`, "m"},
		{"envelope of /api", "m", `{"body":{"options":{"num_ctx":1}},"path":"/api/embeddings"}`, "m num_ctx=1"},
		{"envelope of nothing", "m", `{"path":"/api/chat","body":7}`, "m"},
		{"an envelope that asks something itself", "m", `{"path":"/v1/x","body":{},"prompt":"a","options":{"num_ctx":1}}`, "m num_ctx=1"},
		{"a path alone", "m", `{"path":"/v1/x","options":{"num_ctx":1}}`, "m num_ctx=1"},
		{"a path that is none", "m", `{"path":7,"body":{},"options":{"num_ctx":1}}`, "m num_ctx=1"},
		{"latest", "llama3:latest", ``, "llama3"},
		{"case", "LLaMA3:8B", ``, "llama3:8b"},
		{"registry", "registry.ollama.ai/library/llama3:latest", ``, "llama3"},
		{"namespace", "somebody/llama3", ``, "somebody/llama3"},
		{"what looks like options", "m num_ctx=8192", ``, `"m num_ctx=8192"`},
		{"what looks like options, with some", "M num_ctx=8192", `{"options":{"num_ctx":1}}`, `"m num_ctx=8192" num_ctx=1`},
		{"a quote", `"m" num_ctx=1`, ``, `"\"m\" num_ctx=1"`},
		{"no name at all", " ", ``, `" "`},
		{"other registry", "hf.co/library/llama3", ``, "hf.co/library/llama3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := b.Lane(&foreman.Spec{Model: c.model, Input: json.RawMessage(c.input)})
			require.Equal(t, c.want, got)
			require.Equal(t, c.want, ollama.LaneAgain(got), "what it says can be read back")
		})
	}
}

// What is no name of a lane is a model of that name, which there is not.
func TestLaneOfNoModel(t *testing.T) {
	for _, name := range []string{"", "two words", "m num_ctx", "m num_ctx=", "m num_ctx=x", "m other=1", "m ", `"m`, `"m"x`, `"m" x`, `"m" `, `"\x"`} {
		want := name
		if name != "" {
			quoted, err := json.Marshal(name)
			require.NoError(t, err)
			want = string(quoted)
		}
		require.Equal(t, want, ollama.LaneAgain(name))
		require.Equal(t, want, ollama.LaneAgain(want))
	}
}

// The options of a lane are those that Ollama's decoder would find.
func FuzzLane(f *testing.F) {
	for _, s := range []string{
		`{"options":{"num_ctx":8192,"use_mmap":true}}`, `{"a":[{"b":"\"}"}],"Options":{"num_gpu":-1,"num_ctx":1.5}}`,
		`{"options":{"num_ctx":1},"options":null}`, `{"path":"/api/chat","body":{"options":{"num_ctx":1}}}`, `{"opti`, `[]`, ``, `{"a":1 2}`,
	} {
		f.Add([]byte(s))
	}
	b := newBackend(f, &ollama.Options{})
	f.Fuzz(func(t *testing.T, input []byte) {
		got := b.Lane(&foreman.Spec{Model: "m", Input: input})
		require.True(t, got == "m" || strings.HasPrefix(got, "m "), got)
		require.Equal(t, got, ollama.LaneAgain(got))
		var want struct {
			Options map[string]any
			Path    any
		}
		if json.Unmarshal(input, &want) != nil || want.Path != nil {
			return
		}
		if n, ok := want.Options["num_ctx"].(float64); ok && n > -1e9 && n < 1e9 {
			require.Contains(t, got+" ", fmt.Sprintf(" num_ctx=%d ", int64(n)))
		} else {
			require.NotContains(t, got, "num_ctx")
		}
	})
}

// No two models share a lane by their names, and a name is read back.
func FuzzLaneOfModel(f *testing.F) {
	for _, s := range []string{"llama3", "a num_ctx=1", `"a" num_ctx=1`, `"`, `\`, " ", "a=b", "Ä\u2028"} {
		f.Add(s)
	}
	b := newBackend(f, &ollama.Options{})
	f.Fuzz(func(t *testing.T, model string) {
		if !utf8.ValidString(model) {
			return // JSON has no such text
		}
		plain := b.Lane(&foreman.Spec{Model: model})
		with := b.Lane(&foreman.Spec{Model: model, Input: json.RawMessage(`{"options":{"num_ctx":1}}`)})
		if b.Lane(&foreman.Spec{Model: b.Model(plain)}) != plain {
			return // such as a:latest:latest, which is read as a:latest, the lane of a
		}
		require.Equal(t, plain, ollama.LaneAgain(plain))
		require.Equal(t, with, ollama.LaneAgain(with))
		require.Equal(t, plain+" num_ctx=1", with)
		require.Equal(t, b.Model(plain), b.Model(with))
		require.Equal(t, strings.ContainsAny(b.Model(plain), ` "=`), strings.HasPrefix(plain, `"`))
	})
}

// A large input costs what it takes to pass over its bytes.
func BenchmarkLane(b *testing.B) {
	backend := newBackend(b, &ollama.Options{})
	image := strings.Repeat("iVBORw0KGgo/", 4<<20/12)
	input := `{"messages":[{"role":"user","content":"what is this?","images":["` + image + `","` + image + `","` + image + `","` + image + `"]}],"options":{"num_ctx":8192,"temperature":0.5}}`
	for _, c := range []struct{ name, input string }{
		{"images of 16 MiB", input},
		{"images of 16 MiB in an envelope", `{"path":"/api/chat","body":` + input + `}`},
		{"a text of 16 MiB full of quotes", `{"prompt":"` + strings.Repeat(`\"quoted\" `, 16<<20/11) + `","options":{"num_ctx":8192}}`},
		{"a short question", `{"messages":[{"role":"user","content":"why is the sky blue?"}],"options":{"num_ctx":8192}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := &foreman.Spec{Model: "qwen3:30b", Input: json.RawMessage(c.input)}
			b.SetBytes(int64(len(c.input)))
			b.ReportAllocs()
			for b.Loop() {
				if backend.Lane(s) != "qwen3:30b num_ctx=8192" {
					b.Fatal(backend.Lane(s))
				}
			}
		})
	}
}
