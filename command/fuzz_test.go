package command_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

// Whatever the template and the job are, an argument is one argument, no option unless the
// options say so, and what text/template would make of it where that knows how to.
func FuzzArguments(f *testing.F) {
	for _, arg := range []string{
		"", "-", "--", "x{{.Model}}", "{{.Input.a}}", "{{.Input.b.c}}{{.Input.a}}", "{{ .ID }}-{{.Attempt}}", "{{.Labels.l}}", "{{.Input}}",
		`{{"{{"}}`, "{{`}}`}}", `{{"\x00"}}`, "{{.Input.a", "{{", "}}", "{{.}}", "{{.Input..a}}", "{{- .Model}}",
	} {
		f.Add(arg, "-v", "w", "m")
	}
	f.Add("{{.Input.a}}{{.Input.b.c}}", "", "-x", "m")
	f.Add("{{.Input.a}}", "a\x00b", "\xff", "--")
	f.Fuzz(func(t *testing.T, arg, a, c, model string) {
		input, err := json.Marshal(map[string]any{"a": a, "b": map[string]string{"c": c}})
		require.NoError(t, err)
		spec := &foreman.Spec{Model: model, Input: input, Labels: map[string]string{"l": a}}
		out, err := command.Render([]string{"first", arg, "last"}, id, 3, spec)
		if err != nil {
			return
		}
		require.Len(t, out, 3)
		require.Equal(t, []string{"first", "last"}, []string{out[0], out[2]})
		got := out[1]
		require.NotContains(t, got, "\x00")
		if strings.HasPrefix(got, "-") {
			literal := strings.HasPrefix(arg, "-") || strings.HasPrefix(arg, "{{") && strings.ContainsAny(arg[:strings.Index(arg, "}}")], "\"`")
			require.True(t, literal, "%q begins with a dash that the template does not have", got)
		}
		if !strings.Contains(arg, "{{") {
			require.Equal(t, arg, got)
		}

		values := map[string]any{"ID": id, "Attempt": 3, "Model": model, "Labels": map[string]string{"l": a}}
		var decoded any
		require.NoError(t, json.Unmarshal(input, &decoded))
		values["Input"] = decoded
		parsed, err := template.New("").Option("missingkey=error").Parse(arg)
		var want bytes.Buffer
		if err == nil && parsed.Execute(&want, values) == nil && !strings.Contains(want.String(), "map[") {
			require.Equal(t, want.String(), got)
		}
	})
}

// A value is found where a decoder finds it, and strings are what that makes of them.
func FuzzLookUp(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,"x",null]}}`), "a.b.1")
	f.Add([]byte(` [ {"a" : -0.0e1} , 2 ] `), "0.a")
	f.Add([]byte(`{"":{"\u0061":"\ud83d\ude00"}}`), ".a")
	f.Add([]byte(`{"a"`), "a")
	f.Add([]byte(``), "a")
	f.Add([]byte(`"text"`), "0")
	f.Fuzz(func(t *testing.T, input []byte, path string) {
		got, err := command.LookUp(input, strings.Split(path, "."))
		if !json.Valid(input) {
			return
		}
		var at any
		d := json.NewDecoder(bytes.NewReader(input))
		d.UseNumber()
		require.NoError(t, d.Decode(&at))
		for _, name := range strings.Split(path, ".") {
			switch v := at.(type) {
			case map[string]any:
				at = v[name]
			case []any:
				i, err := strconv.Atoi(name)
				at = nil
				if err == nil && i >= 0 && i < len(v) && strconv.Itoa(i) == name {
					at = v[i]
				}
			default:
				at = nil
			}
		}
		if at == nil {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		if text, ok := at.(string); ok {
			require.Equal(t, text, got)
			return
		}
		d = json.NewDecoder(strings.NewReader(got))
		d.UseNumber()
		var again any
		require.NoError(t, d.Decode(&again))
		require.Equal(t, at, again)
	})
}
