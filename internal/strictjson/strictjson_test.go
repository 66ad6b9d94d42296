package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/internal/strictjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"null":                               `null`,
		"true":                               `true`,
		"false":                              `false`,
		"zero":                               `0`,
		"negative zero":                      `-0`,
		"number with everything":             `-12.034E+56`,
		"zero with exponent":                 `0e0`,
		"number beyond a float64":            `1e999`,
		"empty string":                       `""`,
		"every short escape":                 `"\"\\\/\b\f\n\r\t"`,
		"unicode escape":                     `"\u00e9\uABCD\u0000"`,
		"surrogate pair":                     `"\ud83d\ude00 \uDBFF\uDFFF"`,
		"escaped backslash, then u":          `"\\ud800"`,
		"UTF-8 of every length":              "\"a\u00e9\u20ac\U0001F600\"",
		"U+FFFD itself":                      "\"\uFFFD\"",
		"DEL":                                "\"\x7f\"",
		"empty array":                        `[]`,
		"empty object":                       `{}`,
		"empty ones, with space":             "[ { } ,\n[\t] ]",
		"whitespace around":                  " \t\r\n{\"a\" : [ 1 , 2 ] } \n",
		"same name in other objects":         `{"a":{"a":1},"b":{"a":2},"c":[{"a":3},{"a":4}]}`,
		"same name after an inner object":    `{"x":{"a":1,"b":2},"a":3,"b":4}`,
		"names that differ by case":          `{"a":1,"A":2}`,
		"names that differ by normalization": "{\"\u00e9\":1,\"e\u0301\":2}",
		"empty name":                         `{"":1," ":2}`,
		"as deep as allowed":                 strings.Repeat("[", 64) + strings.Repeat("]", 64),
		"many names":                         object(1000, ""),
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, json.Valid([]byte(text)), "the test itself")
			require.NoError(t, strictjson.Check([]byte(text), 64))
		})
	}
}

func TestRefuses(t *testing.T) {
	long := strings.Repeat("é", 1000)
	for name, c := range map[string]struct {
		text   string
		offset int64
		msg    string
	}{
		"nothing":         {"", 0, `empty body: expected a JSON value`},
		"whitespace only": {" \n\t", 3, `empty body: expected a JSON value`},

		"duplicate":               {`{"model":1,     "model":2}`, 16, `duplicate name "model" at byte 16`},
		"duplicate, escaped":      {`{"a":1,"\u0061":2}`, 7, `duplicate name "a" at byte 7`},
		"duplicate, pair":         {"{\"\U0001F600\":1,\"\\ud83d\\uDE00\":2}", 10, "duplicate name \"\U0001F600\" at byte 10"},
		"duplicate, every escape": {`{"\"\\/\b\f\n\r\t":1,"\u0022\u005c\/\u0008\u000c\u000a\u000D\u0009":2}`, 21, `duplicate name "\"\\/\b\f\n\r\t" at byte 21`},
		"duplicate, empty":        {`{"":1,"":2}`, 6, `duplicate name "" at byte 6`},
		"duplicate, inner":        {`[{"x":{"a":1,"b":{"a":0},"a":2}}]`, 25, `duplicate name "a" at byte 25`},
		"duplicate after inner":   {`{"a":{"b":1},"c":[{}],"a":2}`, 22, `duplicate name "a" at byte 22`},
		"duplicate, last of few":  {object(15, `"n0":0`), 111, `duplicate name "n0" at byte 111`},
		"duplicate, 17th":         {object(16, `"n15":0`), 119, `duplicate name "n15" at byte 119`},
		"duplicate of many":       {object(1000, `"n\u0030":0`), 8891, `duplicate name "n0" at byte 8891`},
		"duplicate, long":         {`{"` + long + `":1,"` + long + `":2}`, 2006, `duplicate name "` + strings.Repeat("é", 32) + `"... at byte 2006`},

		"too deep":              {strings.Repeat("[", 65), 64, `nested deeper than 64 levels at byte 64`},
		"too deep though empty": {strings.Repeat(`{"a":`, 64) + "{}", 320, `nested deeper than 64 levels at byte 320`},

		"invalid UTF-8 in a string":  {"[\"\xff\"]", 2, `invalid UTF-8 at byte 2`},
		"invalid UTF-8 in a name":    {"{\"\xc0\x80\":1}", 2, `invalid UTF-8 at byte 2`},
		"invalid UTF-8 outside":      {"[\x80]", 1, `invalid UTF-8 at byte 1`},
		"encoded surrogate":          {"\"\xed\xa0\x80\"", 1, `invalid UTF-8 at byte 1`},
		"rune cut short":             {"\"ab\xe2\x82\"", 3, `invalid UTF-8 at byte 3`},
		"byte order mark":            {"\ufeff{}", 0, `expected a value but found '\ufeff' at byte 0`},
		"high surrogate alone":       {`"ab\ud800"`, 3, `lone surrogate \ud800 at byte 3`},
		"low surrogate alone":        {`"\uDC00"`, 1, `lone surrogate \uDC00 at byte 1`},
		"two high surrogates":        {`"\ud800\ud800\udc00"`, 1, `lone surrogate \ud800 at byte 1`},
		"pair the wrong way round":   {`"\udc00\ud800"`, 1, `lone surrogate \udc00 at byte 1`},
		"high surrogate, other rune": {`"\ud800\u0041"`, 1, `lone surrogate \ud800 at byte 1`},
		"high surrogate, bad escape": {`"\ud800\uzzzz"`, 1, `lone surrogate \ud800 at byte 1`},
		"lone surrogate in a name":   {`{"\ud800":1}`, 2, `lone surrogate \ud800 at byte 2`},
		"control character":          {"\"a\nb\"", 2, `unescaped control character '\n' at byte 2`},
		"NUL":                        {"\"\x00\"", 1, `unescaped control character '\x00' at byte 1`},
		"unknown escape":             {`"\x41"`, 1, `unknown escape "\\x" at byte 1`},
		"u with three digits":        {`"\u12"`, 1, `\u without four hexadecimal digits at byte 1`},

		"end in an array":         {`[1,`, 3, `unexpected end of input`},
		"end after a bracket":     {`[`, 1, `unexpected end of input`},
		"end after an element":    {`[1`, 2, `unexpected end of input`},
		"end after a brace":       {`{`, 1, `unexpected end of input`},
		"end after a name":        {`{"a" `, 5, `unexpected end of input`},
		"end after a colon":       {`{"a":`, 5, `unexpected end of input`},
		"end after a comma":       {`{"a":1, `, 8, `unexpected end of input`},
		"end in a string":         {`"abc`, 4, `unexpected end of input`},
		"end in an escape":        {`"\`, 2, `unexpected end of input`},
		"end in a unicode escape": {`"\u12`, 5, `unexpected end of input`},
		"end in a word":           {`tru`, 3, `unexpected end of input`},
		"end after a minus":       {`-`, 1, `unexpected end of input`},
		"end after a point":       {`1.`, 2, `unexpected end of input`},
		"end in an exponent":      {`1e+`, 3, `unexpected end of input`},

		"second value":                  {`{} {}`, 3, `expected nothing after the value but found '{' at byte 3`},
		"NUL after the value":           {"1\x00", 1, `expected nothing after the value but found '\x00' at byte 1`},
		"leading zero":                  {`01`, 1, `expected nothing after the value but found '1' at byte 1`},
		"leading plus":                  {`+1`, 0, `expected a value but found '+' at byte 0`},
		"leading point":                 {`.5`, 0, `expected a value but found '.' at byte 0`},
		"point without digits":          {`[1.]`, 3, `expected a digit but found ']' at byte 3`},
		"minus without digits":          {`[-]`, 2, `expected a digit but found ']' at byte 2`},
		"exponent, no digits":           {`[1e]`, 3, `expected a digit but found ']' at byte 3`},
		"NaN":                           {`NaN`, 0, `expected a value but found 'N' at byte 0`},
		"wrong word":                    {`[nul]`, 4, `expected null but found ']' at byte 4`},
		"word too long":                 {`[truely]`, 5, `expected ',' or ']' but found 'l' at byte 5`},
		"single quotes":                 {`{'a':1}`, 1, `expected a name in double quotes but found '\'' at byte 1`},
		"comment":                       {`[1/**/]`, 2, `expected ',' or ']' but found '/' at byte 2`},
		"comma at the end":              {`[1,]`, 3, `expected a value but found ']' at byte 3`},
		"comma at the end of an object": {`{"a":1,}`, 7, `expected a name in double quotes but found '}' at byte 7`},
		"comma at the start":            {`[,1]`, 1, `expected a value but found ',' at byte 1`},
		"no colon":                      {`{"a" 1}`, 5, `expected ':' after a name but found '1' at byte 5`},
		"no comma":                      {`{"a":1 "b":2}`, 7, `expected ',' or '}' but found '"' at byte 7`},
		"wrong closer":                  {`{"a":[1}`, 7, `expected ',' or ']' but found '}' at byte 7`},
		"name without a value":          {`{"a":}`, 5, `expected a value but found '}' at byte 5`},
		"space that JSON lacks":         {"[\u00a01]", 1, `expected a value but found '\u00a0' at byte 1`},
	} {
		t.Run(name, func(t *testing.T) {
			err := strictjson.Check([]byte(c.text), 64)
			var fault *strictjson.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, strictjson.Error{Offset: c.offset, Msg: c.msg}, *fault)
			require.Equal(t, c.msg, err.Error())
		})
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) []byte {
		return []byte(strings.Repeat(`[{"a":`, n) + "1" + strings.Repeat("}]", n))
	}
	require.NoError(t, strictjson.Check([]byte(`1`), 0))
	require.Error(t, strictjson.Check([]byte(`[]`), 0))
	require.NoError(t, strictjson.Check([]byte(`[[],{}]`), 2))
	require.NoError(t, strictjson.Check(nested(100), 200))
	require.Error(t, strictjson.Check(nested(100), 199))
	require.NoError(t, strictjson.Check(nested(200_000), 400_000), "nothing recurses")
}

// Comparing every name with every other one would take minutes here.
func TestManyNamesInLinearTime(t *testing.T) {
	const n = 200_000
	start := time.Now()
	require.NoError(t, strictjson.Check([]byte(object(n, "")), 1))
	require.Error(t, strictjson.Check([]byte(object(n, `"n0":1`)), 1))
	require.Less(t, time.Since(start), 10*time.Second)
}

func TestMostTextsCostNoAllocation(t *testing.T) {
	for name, text := range map[string][]byte{
		"chat request":    chat(1 << 10),
		"sixteen members": []byte(object(16, "")),
		"many objects":    []byte("[" + strings.Repeat(object(10, "")+",", 500) + "1]"),
	} {
		t.Run(name, func(t *testing.T) {
			// The race detector makes a pool forget, at three allocations a time.
			require.LessOrEqual(t, testing.AllocsPerRun(20, func() {
				if err := strictjson.Check(text, 64); err != nil {
					panic(err)
				}
			}), 3.0)
		})
	}
}

func ExampleCheck() {
	for _, body := range []string{
		`{"model": "qwen3:30b", "prompt": "hi"}`,
		`{"model": "small", "model": "qwen3:30b"}`,
		`{"model": "qwen3:30b"`,
	} {
		err := strictjson.Check([]byte(body), 64)
		var fault *strictjson.Error
		if errors.As(err, &fault) {
			fmt.Println(fault.Offset, fault)
			continue
		}
		fmt.Println("ok")
	}
	// Output:
	// ok
	// 19 duplicate name "model" at byte 19
	// 21 unexpected end of input
}

// object returns an object with n members named n0, n1 and so on, and one more
// as given.
func object(n int, more string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"n%d":%d`, i, i%10)
	}
	if more != "" {
		b.WriteString("," + more)
	}
	b.WriteByte('}')
	return b.String()
}

// chat returns a request for a model of about the size given.
func chat(size int) []byte {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	request := struct {
		Model    string         `json:"model"`
		Messages []message      `json:"messages"`
		Options  map[string]any `json:"options"`
		Stream   bool           `json:"stream"`
	}{Model: "qwen3:30b", Options: map[string]any{"num_ctx": 8192, "temperature": 0.7, "seed": 42}}
	for n := 0; n < size-200; n += 300 {
		request.Messages = append(request.Messages, message{"user", strings.Repeat(
			"Explain \"why\" the caf\u00e9 is closed,\nin plain words please; ", 5)})
	}
	text, err := json.MarshalIndent(request, "", "  ")
	if err != nil {
		panic(err)
	}
	return text
}
