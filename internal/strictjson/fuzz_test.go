package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/strictjson"
)

// FuzzCheck compares Check with a slower check made of encoding/json's parts.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","input":{"a":[1,-2.5e3,true,null]},"labels":{}}`,
		`{"a":1,"\u0061":2}`, `{"\ud83d\ude00":1,"` + "\U0001F600" + `":2}`,
		`"\ud800"`, `"\ud800\udc00"`, `"\\ud800"`, `"\udc00\ud800"`,
		"\"\xff\"", " [ [ ] , { } ] ", `[[[[[]]]]]`, `{"a":{"a":1},"b":[{"a":2}]}`,
		object(20, ""), object(20, `"n7":0`), `1e999`, `-`, `01`, `{"a"`, ``,
	} {
		f.Add([]byte(seed), 8)
	}
	f.Fuzz(func(t *testing.T, data []byte, maxDepth int) {
		maxDepth = min(max(maxDepth, 0), 10_000) // encoding/json goes no deeper
		err := strictjson.Check(data, maxDepth)
		want := json.Valid(data) && utf8.Valid(data) && !loneSurrogate(data) && walk(t, data, maxDepth)
		require.Equal(t, want, err == nil, "%v", err)
		if err == nil {
			var v json.RawMessage
			require.NoError(t, json.Unmarshal(data, &v))
			return
		}
		var fault *strictjson.Error
		require.ErrorAs(t, err, &fault)
		require.True(t, 0 <= fault.Offset && fault.Offset <= int64(len(data)), "offset %d", fault.Offset)
		require.Less(t, len(fault.Msg), 512)
	})
}

// walk reports whether no object of a valid text names a member twice and
// nothing is nested too deep.
func walk(t *testing.T, data []byte, maxDepth int) bool {
	type object struct {
		names map[string]bool // nil for an array
		value bool            // the next token is a value
	}
	var open []object
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		require.NoError(t, err)
		if len(open) > 0 && token != json.Delim('}') && token != json.Delim(']') {
			in := &open[len(open)-1]
			if in.names != nil && !in.value {
				name := token.(string)
				if in.names[name] {
					return false
				}
				in.names[name] = true
				in.value = true
				continue
			}
			in.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) > maxDepth {
			return false
		}
	}
}

// loneSurrogate reports whether a valid text has an escape for half a pair. It
// blanks out the escaped backslashes, then the pairs; what is left stands alone.
func loneSurrogate(data []byte) bool {
	text := strings.ToLower(strings.ReplaceAll(string(data), `\\`, "__"))
	for i := 0; i+12 <= len(text); i++ {
		if high(text[i:]) && low(text[i+6:]) {
			text = text[:i] + "____________" + text[i+12:]
		}
	}
	for i := range text {
		if high(text[i:]) || low(text[i:]) {
			return true
		}
	}
	return false
}

func high(s string) bool {
	return len(s) >= 6 && strings.HasPrefix(s, `\ud`) && strings.IndexByte("89ab", s[3]) >= 0
}

func low(s string) bool {
	return len(s) >= 6 && strings.HasPrefix(s, `\ud`) && strings.IndexByte("cdef", s[3]) >= 0
}
