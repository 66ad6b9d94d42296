package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// Commands that stand for themselves in the documents: this very test run, and the
// server that the other commands talk to.
var known = map[string]bool{"go test ./...": true, "go run ./cmd/foremand -dev": true}

// Every command of the documents is run, those of one document in one shell, and must
// succeed, as typed by somebody who has foremand -dev in another terminal.
func TestDocumentedCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err)
		}
		t.Skip("install curl to have the commands in the documents run")
	}
	p := start(t, "-dev")
	address := strings.TrimPrefix(p.url, "http://")
	_, port, _ := strings.Cut(address, ":")
	more, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	commands := 0
	for _, doc := range append([]string{"../../README.md"}, more...) {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		var script []string
		for _, m := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(m[1]) {
				if line = strings.TrimSpace(line); !known[line] {
					script = append(script, strings.ReplaceAll(strings.ReplaceAll(line, "curl ", "curl -f "), ":8470", ":"+port))
				}
			}
		}
		if len(script) == 0 {
			continue
		}
		commands += len(script)
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", strings.Join(script, "\n"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", doc, out)
	}
	require.NotZero(t, commands)
	for _, want := range []string{"  queued", "  queued -> working", "  working -> done"} {
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(p.lines(), func(l string) bool {
				return strings.HasPrefix(l, "webhook verified") && strings.HasSuffix(l, want)
			})
		}, patience, 10*time.Millisecond, want)
	}
}
