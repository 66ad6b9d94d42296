//go:build unix

package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

// What the program gets is what the template says, argument by argument.
func TestArgumentsOfTheProgram(t *testing.T) {
	f := run(t, "args", command.Options{Args: []string{"-n", "{{.Input.n}}", "{{.Input.text}}", ""}, Output: command.Output{Result: true}})
	j := do(t, f, `{"n":5,"text":"a b; $(id) 'c'\n*"}`)
	require.Equal(t, foreman.Done, j.State, "%+v", j.Error)
	require.JSONEq(t, `["-n","5","a b; $(id) 'c'\n*",""]`, string(j.Result))
	require.Empty(t, names(j))

	j = await(t, f, submit(t, f, foreman.Spec{Input: json.RawMessage(`{"n":5}`)}))
	require.Equal(t, foreman.BackendRejected, j.Error.Type)
	require.Equal(t, 1, j.Attempt, "not tried again")
	require.Equal(t, `argument 3 of the program: {{.Input.text}}: the input has no "text"`, j.Error.Message)
}

// The program sees nothing of this process's environment that nobody has named.
func TestEnvironment(t *testing.T) {
	t.Setenv("FOREMAN_TOKEN", "secret")
	t.Setenv("LANG", "de_DE.UTF-8")
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("PASSED", "on")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	f := run(t, "env", command.Options{Dir: dir, Env: []string{"OWN=a=b", "PASSED", "UNSET_HERE", "TZ=UTC"}})
	lines := strings.Split(output(t, f, do(t, f, "").ID), "\n")
	for _, want := range []string{"PATH=" + os.Getenv("PATH"), "LANG=de_DE.UTF-8", "OWN=a=b", "PASSED=on", "TZ=UTC", "dir " + dir} {
		require.Contains(t, lines, want)
	}
	for _, line := range lines {
		require.NotContains(t, line, "secret")
		require.NotContains(t, line, "Tokyo")
		require.NotContains(t, line, "UNSET_HERE")
	}
}

func TestStdin(t *testing.T) {
	large := `"` + strings.Repeat("x", 1<<20) + `"`
	for name, tc := range map[string]struct {
		o           command.Options
		input, want string
	}{
		"the input as it was sent": {command.Options{}, `{"b": 1.50, "a":"x"}`, `{"b": 1.50, "a":"x"}`},
		"a string as JSON":         {command.Options{}, `"x\n"`, `"x\n"`},
		"no input":                 {command.Options{}, ``, `null`},
		"the text of a string":     {command.Options{Stdin: "{{.Input}}"}, `"-x\u0000\n"`, "-x\x00\n"},
		"of a field":               {command.Options{Stdin: "{{.Model}}: {{.Input.text}}"}, `{"text":"hello"}`, "m: hello"},
		"an empty text":            {command.Options{Stdin: `{{""}}`}, `1`, ""},
		"nothing":                  {command.Options{NoStdin: true}, `{"a":1}`, ""},
		"more than a pipe holds":   {command.Options{}, large, large},
	} {
		t.Run(name, func(t *testing.T) {
			f := run(t, "cat", tc.o)
			j := do(t, f, tc.input)
			require.Equal(t, foreman.Done, j.State, "%+v", j.Error)
			require.Equal(t, tc.want, output(t, f, j.ID))
		})
	}
	t.Run("that nobody reads", func(t *testing.T) {
		f := run(t, "say", command.Options{Args: []string{"hi", "", "0"}})
		require.Equal(t, "hi", output(t, f, do(t, f, large).ID))
	})
	t.Run("of a field that is not there", func(t *testing.T) {
		f := run(t, "cat", command.Options{Stdin: "{{.Input.text}}"})
		require.Equal(t, `the standard input of the program: {{.Input.text}}: the input has no "text"`, do(t, f, `{}`).Error.Message)
	})
}

func TestOutput(t *testing.T) {
	result := command.Output{Result: true}
	for name, tc := range map[string]struct {
		output         command.Output
		printed, want  string // want is the result
		artifact, kind string
	}{
		"an artifact by default": {command.Output{}, "a\n", "", "output", "application/octet-stream"},
		"an empty one":           {command.Output{}, "", "", "output", "application/octet-stream"},
		"named":                  {command.Output{Artifact: "a.txt", ContentType: "Text/Plain"}, "a", "", "a.txt", "text/plain"},
		"JSON":                   {result, "{\"a\": [1.50]}\n", `{"a":[1.50]}`, "", ""},
		"text":                   {result, "a \"b\"\n\n", `"a \"b\""`, "", ""},
		"two values are text":    {result, "1\n2\n", `"1\n2"`, "", ""},
		"no UTF-8":               {result, "a\xffb", "\"a\uFFFDb\"", "", ""},
		"nothing":                {result, "", `""`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := run(t, "say", command.Options{Args: []string{tc.printed, "", "0"}, Output: tc.output})
			j := do(t, f, "")
			require.Equal(t, foreman.Done, j.State, "%+v", j.Error)
			require.Equal(t, tc.want, string(j.Result))
			if tc.artifact == "" {
				require.Empty(t, names(j))
				return
			}
			require.Equal(t, []string{tc.artifact}, names(j), "and no log where nothing was logged")
			text, kind := artifact(t, f, j.ID, tc.artifact)
			require.Equal(t, tc.printed, text)
			require.Equal(t, tc.kind, kind)
		})
	}
	t.Run("a result of a bad end", func(t *testing.T) {
		f := run(t, "say", command.Options{Args: []string{`{"so":"far"}`, "", "1"}, Output: result})
		j := do(t, f, "")
		require.Nil(t, j.Result)
		require.Equal(t, `{"so":"far"}`, output(t, f, j.ID))
	})
	t.Run("a result that is too large", func(t *testing.T) {
		f := run(t, "cat", command.Options{Output: result, MaxOutput: 4 << 20})
		j := await(t, f, submit(t, f, foreman.Spec{Input: json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)}))
		require.Equal(t, foreman.BackendRejected, j.Error.Type)
		require.Contains(t, j.Error.Message, "write an artifact")
	})
}

// A program that prints too much is stopped, and what there was room for is kept.
func TestMaxOutput(t *testing.T) {
	for name, o := range map[string]command.Output{"artifact": {}, "result": {Result: true}} {
		t.Run(name, func(t *testing.T) {
			f := run(t, "flood", command.Options{Args: []string{"1"}, MaxOutput: 100_000, Output: o})
			j := await(t, f, submit(t, f, foreman.Spec{}))
			require.Equal(t, foreman.Failed, j.State)
			require.Equal(t, 1, j.Attempt, "not tried again")
			require.Contains(t, j.Error.Message, "printed more than 100000 bytes")
			require.Len(t, output(t, f, j.ID), 100_000)
		})
	}
	t.Run("just as much", func(t *testing.T) {
		f := run(t, "cat", command.Options{MaxOutput: 6})
		require.Equal(t, foreman.Done, do(t, f, `"abcd"`).State)
		require.Equal(t, foreman.Failed, do(t, f, `"abcde"`).State)
	})
}

// An artifact that cannot be kept stops the program too.
func TestOutputThatCannotBeKept(t *testing.T) {
	f := newRig(t, this(t, "flood", command.Options{Args: []string{"1"}}), &foreman.Options{MaxArtifact: 1 << 16})
	j := await(t, f, submit(t, f, foreman.Spec{}))
	require.Equal(t, foreman.BackendRejected, j.Error.Type)
	require.Contains(t, j.Error.Message, "the output of the program cannot be kept")
	require.NotContains(t, names(j), "output")
}

func TestLog(t *testing.T) {
	f := run(t, "lines", command.Options{Args: []string{"5000"}, MaxLog: 40})
	j := do(t, f, "")
	require.Equal(t, []string{"output", "log"}, names(j))
	text, kind := artifact(t, f, j.ID, "log")
	require.Equal(t, "text/plain; charset=utf-8", kind)
	require.Equal(t, "line 1\nline 2\nline 3\n[48853 bytes dropped]\nline 4999\nline 5000\n", text)
	require.True(t, strings.HasSuffix(j.Error.Message, ": exit status 1: line 5000"), j.Error.Message)
}

// What a program ends with says whether another attempt can help.
func TestExits(t *testing.T) {
	for name, tc := range map[string]struct {
		status string
		final  []int
		want   foreman.ErrorType // "" for done
	}{
		"good":                   {"0", nil, ""},
		"bad":                    {"1", nil, foreman.BackendError},
		"usage":                  {"64", nil, foreman.BackendRejected},
		"data":                   {"65", nil, foreman.BackendRejected},
		"no input":               {"66", nil, foreman.BackendRejected},
		"unavailable":            {"69", nil, foreman.BackendError},
		"try again":              {"75", nil, foreman.BackendError},
		"of the configuration":   {"78", nil, foreman.BackendError},
		"not found by a shell":   {"127", nil, foreman.BackendError},
		"chosen":                 {"2", []int{2}, foreman.BackendRejected},
		"others are chosen":      {"64", []int{2}, foreman.BackendError},
		"none is chosen":         {"64", []int{}, foreman.BackendError},
		"the end of the numbers": {"255", nil, foreman.BackendError},
	} {
		t.Run(name, func(t *testing.T) {
			f := run(t, "say", command.Options{Args: []string{"out", "why\nbecause\n", tc.status}, FinalExits: tc.final})
			j := await(t, f, submit(t, f, foreman.Spec{MaxAttempts: 2}))
			require.Equal(t, []string{"output", "log"}, names(j)[:2])
			require.Equal(t, tc.want != "", slices.Contains(names(j), "partial"), "of an attempt that did not end well")
			require.Equal(t, "out", output(t, f, j.ID))
			log, _ := artifact(t, f, j.ID, "log")
			require.Equal(t, "why\nbecause\n", log)
			if tc.want == "" {
				require.Equal(t, foreman.Done, j.State)
				return
			}
			require.Equal(t, tc.want, j.Error.Type)
			require.Contains(t, j.Error.Message, ": exit status "+tc.status+": because")
			require.Equal(t, tc.want == foreman.BackendRejected, j.Attempt == 1)
		})
	}
	t.Run("a signal", func(t *testing.T) {
		j := do(t, run(t, "suicide", command.Options{}), "")
		require.Equal(t, foreman.BackendError, j.Error.Type)
		require.Contains(t, j.Error.Message, "signal: killed")
	})
}

// A program that has gone since New is a passing fault; arguments that no system takes
// are the job's.
func TestProgramThatCannotBeRun(t *testing.T) {
	t.Run("gone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tool")
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho back\n"), 0o700))
		f := newRig(t, &command.Options{Path: path}, &foreman.Options{})
		require.NoError(t, os.Rename(path, path+".old"))
		j := do(t, f, "")
		require.Equal(t, foreman.BackendError, j.Error.Type)
		require.Contains(t, j.Error.Message, "tool cannot be run: ")
		require.Contains(t, j.Error.Message, "no such file or directory")
		require.NoError(t, os.Rename(path+".old", path))
		require.Equal(t, "back\n", output(t, f, do(t, f, "").ID))
	})
	t.Run("too long an argument", func(t *testing.T) {
		f := run(t, "args", command.Options{Args: []string{"{{.Input}}"}})
		j := await(t, f, submit(t, f, foreman.Spec{Input: json.RawMessage(`"` + strings.Repeat("x", 8<<20) + `"`)}))
		require.Equal(t, foreman.BackendRejected, j.Error.Type)
		require.Contains(t, j.Error.Message, "read long values from its standard input")
	})
}

// What a program prints is seen while it runs.
func TestStreaming(t *testing.T) {
	f := run(t, "ready", command.Options{})
	id := submit(t, f, foreman.Spec{})
	j := watch(t, f, id, "ready\n", func() {
		_, err := f.Cancel(t.Context(), id)
		require.NoError(t, err)
	})
	require.Equal(t, foreman.Canceled, j.State)
	require.Equal(t, "ready\n", output(t, f, id))
}

func TestOptionsThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, tc := range map[string]struct {
		o    *command.Options
		want string
	}{
		"nil":                   {nil, "no program: set Path"},
		"no program":            {&command.Options{}, "no program: set Path"},
		"unknown program":       {&command.Options{Path: "no-such-program"}, `executable file not found in $PATH: install it, or set Path to an executable file`},
		"no file":               {&command.Options{Path: file + "x"}, "no such file"},
		"not executable":        {&command.Options{Path: file}, "permission denied"},
		"stdin":                 {&command.Options{Stdin: "{{.Nope}}"}, "the template of Stdin: {{.Nope}} is no placeholder"},
		"stdin and none":        {&command.Options{Stdin: "x", NoStdin: true}, "both Stdin and NoStdin"},
		"variable":              {&command.Options{Env: []string{"=x"}}, `the variable "=x" cannot be`},
		"variable with NUL":     {&command.Options{Env: []string{"A=\x00"}}, "cannot be"},
		"no directory":          {&command.Options{Dir: file + "x"}, "working directory"},
		"a file as a directory": {&command.Options{Dir: file}, "is not a directory"},
		"log":                   {&command.Options{Output: command.Output{Artifact: "log"}}, "the artifact of the output cannot be log"},
		"artifact":              {&command.Options{Output: command.Output{Artifact: "../x"}}, "the artifact of the output"},
		"content type":          {&command.Options{Output: command.Output{ContentType: "text"}}, "the content type of the output"},
		"bounds":                {&command.Options{MaxOutput: -1}, "must not be negative"},
		"exits":                 {&command.Options{FinalExits: []int{0}}, "FinalExits"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.o != nil && tc.o.Path == "" && !strings.HasPrefix(tc.want, "no program") {
				tc.o.Path = "sh"
			}
			_, err := command.New(tc.o)
			require.ErrorContains(t, err, "command: ")
			require.ErrorContains(t, err, tc.want)
		})
	}
}
