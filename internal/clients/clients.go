// Package clients tells what clients of Ollama see of a server: the official clients
// for Node, and whoever reads the bytes on the connection. A gateway is as good as
// none if they see the same through it.
package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/need"
	"github.com/foreman-go/foreman/internal/ollamatest"
)

// Models are those that the scenes of [Run] and the requests of [Requests] are about.
// A double that plays the server needs them, and tells the time of [Now].
func Models() map[string]ollamatest.Behavior {
	return map[string]ollamatest.Behavior{
		"llama3": {},
		"talks": {
			Thinking:  "hm",
			ToolCalls: json.RawMessage(`[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"x":1}}}]`),
		},
		"long":    {Tokens: 2000},
		"slow":    {Tokens: 1 << 20, TokenDelay: time.Millisecond},
		"busy":    {Status: 503, Body: `{"error":"server busy, please try again.  maximum pending requests exceeded"}`},
		"repeats": {End: ollamatest.Repeat, EndAfter: 2},
		"dies":    {End: ollamatest.Death, EndAfter: 2},
		"cut":     {End: ollamatest.Cut, EndAfter: 2},
	}
}

// Now is when everything happens.
func Now() time.Time { return time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC) }

// Run plays the scenes of testdata/npm/scenes.mjs against a server, one after another,
// and returns what the clients saw in each: errors, parts, texts, reasons, counts, and
// neither times nor identifiers. The test is skipped if there is no Node, or its
// packages are not installed, but fails in CI.
func Run(tb testing.TB, baseURL string) map[string]json.RawMessage {
	tb.Helper()
	return play(tb, baseURL)
}

// RunOnly plays some of the scenes that are about the model llama3, with another one.
func RunOnly(tb testing.TB, baseURL, model string, scenes ...string) map[string]json.RawMessage {
	tb.Helper()
	saw := play(tb, baseURL, append([]string{model}, scenes...)...)
	require.Len(tb, saw, len(scenes), "there are no such scenes")
	return saw
}

func play(tb testing.TB, baseURL string, args ...string) map[string]json.RawMessage {
	tb.Helper()
	dir := filepath.Join(root(tb), "internal", "clients", "testdata", "npm")
	need.Node(tb, dir, "to see what the clients of Ollama and OpenAI see")
	cmd := exec.CommandContext(tb.Context(), "node", append([]string{"scenes.mjs", baseURL}, args...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	require.NoError(tb, err)
	saw := map[string]json.RawMessage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var line struct {
			Scene string
			Saw   json.RawMessage
		}
		require.NoError(tb, dec.Decode(&line))
		saw[line.Scene] = line.Saw
	}
	require.NotEmpty(tb, saw)
	return saw
}

// root is the module's directory: tests of any package run somewhere in it.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	require.NoError(tb, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		require.NotEqual(tb, filepath.Dir(dir), dir, "not in a module")
		dir = filepath.Dir(dir)
	}
}
