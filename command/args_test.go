package command_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

const id = "01JZ0000000000000000000000"

func render(args []string, input string) ([]string, error) {
	return command.Render(args, id, 2, &foreman.Spec{
		Model: "big", Input: json.RawMessage(input), Labels: map[string]string{"team": "a b", "x.y/z": "dotted", "dash": "-d", "": "none"},
	})
}

func TestArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		args, want []string
		input      string
	}{
		"literal":             {[]string{"-v", "", "a b", "$HOME;`x`", "*"}, []string{"-v", "", "a b", "$HOME;`x`", "*"}, `null`},
		"no arguments":        {nil, []string{}, `null`},
		"the job":             {[]string{"{{.ID}}", "{{.Attempt}}", "{{ .Model }}"}, []string{id, "2", "big"}, `null`},
		"labels":              {[]string{"{{.Labels.team}}", "{{.Labels.x.y/z}}"}, []string{"a b", "dotted"}, `null`},
		"within text":         {[]string{"--size={{.Input.w}}x{{.Input.h}}!"}, []string{"--size=3x4!"}, `{"w":3,"h":4}`},
		"deep":                {[]string{"{{.Input.a.b.c}}"}, []string{"x"}, `{"a":{"b":{"c":"x"}}}`},
		"of an array":         {[]string{"{{.Input.a.1.b}}"}, []string{"x"}, `{"a":[0,{"b":"x"}]}`},
		"a number as a name":  {[]string{"{{.Input.1}}"}, []string{"x"}, `{"1":"x"}`},
		"odd names":           {[]string{"{{.Input.content-type}}{{.Input.größe}}"}, []string{"ab"}, `{"content-type":"a","größe":"b"}`},
		"whole string":        {[]string{"{{.Input}}"}, []string{"a \"b\""}, `"a \"b\""`},
		"whole object":        {[]string{"{{.Input}}"}, []string{`{"z":1.50,"a":[true,null]}`}, ` { "z" : 1.50, "a" : [true, null] } `},
		"numbers":             {[]string{"{{.Input.a}}", "{{.Input.b}}"}, []string{"1e400", "12345678901234567890"}, `{"a":1e400,"b":12345678901234567890}`},
		"booleans":            {[]string{"{{.Input.a}}", "{{.Input.b}}"}, []string{"true", "false"}, `{"a":true,"b":false}`},
		"markup stays":        {[]string{"{{.Input.a}}"}, []string{`["<&>"]`}, `{"a":["<&>"]}`},
		"an empty text":       {[]string{"{{.Input.a}}"}, []string{""}, `{"a":""}`},
		"one argument always": {[]string{"{{.Input.a}}"}, []string{"x y\n--z 'q' \"$(id)\""}, `{"a":"x y\n--z 'q' \"$(id)\""}`},
		"no template in it":   {[]string{"{{.Input.a}}"}, []string{"{{.Model}}"}, `{"a":"{{.Model}}"}`},
		"braces":              {[]string{`{{"{{"}}.Id}}`, "{{ `}}` }}", `{{"a\tb"}}`, `{{""}}`, "}}{"}, []string{"{{.Id}}", "}}", "a\tb", "", "}}{"}, `null`},
		"after an option":     {[]string{"-n{{.Input.n}}", "--n={{.Input.n}}"}, []string{"-n-5", "--n=-5"}, `{"n":-5}`},
		"after the end":       {[]string{"--", "{{.Input.n}}"}, []string{"--", "-5"}, `{"n":-5}`},
		"a dash within":       {[]string{"{{.Input.n}}"}, []string{"a-b"}, `{"n":"a-b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render(tc.args, tc.input)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

// What a job lacks, or must not have, fails it for good, with words that say what it is.
func TestArgumentsThatCannotBe(t *testing.T) {
	for name, tc := range map[string]struct {
		arg, input, want string
	}{
		"no such field":         {"{{.Input.size.w}}", `{"size":{}}`, `argument 2 of the program: {{.Input.size.w}}: the size of the input has no "w"`},
		"no field at all":       {"{{.Input.size}}", `{"Size":1}`, `{{.Input.size}}: the input has no "size"`},
		"not an object":         {"{{.Input.a.b}}", `{"a":"x"}`, `{{.Input.a.b}}: the a of the input has no fields, and so no "b"`},
		"null":                  {"{{.Input.a}}", `{"a":null}`, `{{.Input.a}}: the a of the input is null`},
		"no input":              {"{{.Input}}", `null`, `{{.Input}}: the input is null`},
		"beyond the array":      {"{{.Input.2}}", `[0,1]`, `the input has no "2"`},
		"before the array":      {"{{.Input.-1}}", `[0,1]`, `the input has no "-1"`},
		"not quite an index":    {"{{.Input.01}}", `[0,1]`, `the input has no "01"`},
		"no such label":         {"{{.Labels.nope}}", `null`, `{{.Labels.nope}}: the job has no label "nope"`},
		"NUL":                   {"{{.Input}}", `"a\u0000b"`, `NUL byte`},
		"an option":             {"{{.Input.a}}", `{"a":"--exec=rm"}`, `argument 2 of the program: {{.Input.a}} must not begin with "-", since the program would take it for an option`},
		"a negative number":     {"{{.Input.a}}", `{"a":-1}`, `must not begin with "-"`},
		"a lone dash":           {"{{.Input.a}}", `{"a":"-"}`, `must not begin with "-"`},
		"an option in a label":  {"{{.Labels.dash}}", `null`, `must not begin with "-"`},
		"after nothing":         {"{{.Input.a}}{{.Input.b}}", `{"a":"","b":"-x"}`, `must not begin with "-"`},
		"a dash of the options": {"{{.Input.a}}-x", `{"a":""}`, `must not begin with "-"`},
		"after an empty text":   {`{{""}}{{.Input.a}}`, `{"a":"-x"}`, `must not begin with "-"`},
		"before the end":        {"{{.Input.a}}", `{"a":"--"}`, `must not begin with "-"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render([]string{"first", tc.arg, "--"}, tc.input)
			require.ErrorContains(t, err, tc.want)
			var f *foreman.Failure
			require.ErrorAs(t, err, &f)
			require.True(t, f.Final)
			require.Equal(t, foreman.BackendRejected, f.Type)
		})
	}
	_, err := render([]string{"{{.Input.a}}", "{{.Input.b}}"}, `{"a":"--","b":"-x"}`)
	require.ErrorContains(t, err, "argument 1", "a value cannot be the end of the options")
}

func TestTemplatesThatCannotBe(t *testing.T) {
	for template, want := range map[string]string{
		"{{.Input.a":                `"{{.Input.a" is not closed`,
		"a {{":                      `"{{" is not closed`,
		"{{}}":                      "{{}} is no placeholder",
		"{{.}}":                     "is no placeholder",
		"{{.Owner}}":                "{{.Owner}} is no placeholder: there are .ID,",
		"{{.input.a}}":              "is no placeholder",
		"{{Model}}":                 "is no placeholder",
		"{{.Model.x}}":              "is no placeholder",
		"{{.Labels}}":               "is no placeholder",
		"{{.Labels.}}":              "has a field without a name",
		"{{.Input.}}":               "has a field without a name",
		"{{.Input.a..b}}":           "has a field without a name",
		"{{- .Model -}}":            "is no placeholder",
		"{{.Input.a | html}}":       "is no placeholder",
		"{{if .Input.a}}x{{end}}":   "is no placeholder",
		`{{printf "%s" .Model}}`:    "is no placeholder",
		`{{"a" .Model}}`:            "is not a quoted string",
		`{{"a}}`:                    "is not a quoted string",
		"{{'a'}}":                   "is no placeholder",
		"{{{.Model}}}":              "is no placeholder",
		"a\x00b":                    "argument 1 has a NUL byte",
		`{{"\x00"}}`:                "argument 1 has a NUL byte",
		"ok {{.Model}} {{.Nothing}": "is not closed",
	} {
		t.Run(template, func(t *testing.T) {
			_, err := command.New(&command.Options{Path: "go", Args: []string{template}})
			require.ErrorContains(t, err, "command: argument 1")
			require.ErrorContains(t, err, want)
		})
	}
}
