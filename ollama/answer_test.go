package ollama_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

func TestReadStream(t *testing.T) {
	long := strings.Repeat("a", 8<<20)
	for _, c := range []struct {
		name, stream, whole, told string
	}{
		{"one line", `{"response":"a","done":true}`, `{"response":"a","done":true}`, "a"},
		{"blank lines", "\n{\"response\":\"a\"}\r\n \n{\"response\":\"b\",\"done\":true}\n\n", `{"response":"ab","done":true}`, "ab"},
		{"lines behind the end", `{"response":"a","done":true}` + "\n" + `{"error":"late"}` + "\n" + strings.Repeat("x\n", 100_000), `{"response":"a","done":true}`, "a"},
		{"members that nobody knows", `{"x":1,"response":"a"}` + "\n" + `{"y":{"b":1,"a":2e400},"response":"","done":true}`, `{"y":{"b":1,"a":2e400},"response":"a","done":true}`, "a"},
		{
			"all that is put together",
			`{"message":{"role":"assistant","thinking":"t1"},"logprobs":[{"token":"t1"}]}` + "\n" +
				`{"message":{"role":"assistant","content":"c1","thinking":"t2","tool_calls":[{"z":1,"a":2}]}}` + "\n" +
				`{"model":"m","created_at":"now","message":{"role":"assistant","content":"c2","tool_calls":[3]},"done":true,"eval_count":1}`,
			`{"model":"m","created_at":"now","message":{"role":"assistant","content":"c1c2","thinking":"t1t2","tool_calls":[{"z":1,"a":2},3]},"done":true,"eval_count":1,"logprobs":[{"token":"t1"}]}`,
			"t1t2c1c2",
		},
		{"a last line without a message", `{"message":{"content":"a"}}` + "\n" + `{"created_at":"now","done":true}`, `{"created_at":"now","message":{"content":"a"},"done":true}`, "a"},
		{"markup", `{"response":"<&>\u2028"}` + "\n" + `{"response":"","done":true}`, `{"response":"\u003c\u0026\u003e\u2028","done":true}`, "<&>\u2028"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told strings.Builder
			whole, err := ollama.ReadStream(iotest.HalfReader(strings.NewReader(c.stream)), 1<<20, func(s string) { told.WriteString(s) })
			require.NoError(t, err)
			require.Equal(t, c.whole, string(whole))
			require.Equal(t, c.told, told.String())
		})
	}
	for _, c := range []struct {
		name   string
		stream io.Reader
		want   foreman.ErrorType
		final  bool
		text   string
	}{
		{"nothing", strings.NewReader(""), foreman.Incomplete, false, "without its end mark"},
		{"no end", strings.NewReader(`{"response":"a"}`), foreman.Incomplete, false, "without its end mark"},
		{"half a line", strings.NewReader(`{"response":"a"`), foreman.Incomplete, false, "not an answer"},
		{"a cut", io.MultiReader(strings.NewReader(`{"response":"a"`), iotest.ErrReader(io.ErrUnexpectedEOF)), foreman.Incomplete, false, "cut off: unexpected EOF"},
		{"a cut between lines", io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(io.ErrUnexpectedEOF)), foreman.Incomplete, false, "cut off: unexpected EOF"},
		{"an error", strings.NewReader(`{"error":"oh"}`), foreman.BackendError, false, "oh"},
		{"a long line", strings.NewReader(`{"response":"` + long + `"}`), foreman.BackendError, true, "a line of the answer has more than 8388608 bytes"},
		{"too much", strings.NewReader(strings.Repeat(`{"response":"`+long[:1<<20]+`"}`+"\n", 20)), foreman.BackendError, true, "more than 16777216 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ollama.ReadStream(c.stream, 16<<20, func(string) {})
			f, ok := errors.AsType[*foreman.Failure](err)
			require.True(t, ok)
			require.Equal(t, c.want, f.Type)
			require.Equal(t, c.final, f.Final)
			require.Contains(t, f.Error(), c.text)
		})
	}
}

// What the server sends after the end of an answer does not undo it.
func TestCutBehindTheEnd(t *testing.T) {
	r := io.MultiReader(strings.NewReader("{\"done\":true}\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
	whole, err := ollama.ReadStream(r, 1<<20, func(string) {})
	require.NoError(t, err)
	require.Equal(t, `{"done":true,"response":""}`, string(whole))
}
