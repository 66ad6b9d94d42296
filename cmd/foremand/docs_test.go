package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// Commands that stand for themselves in the documents: this very test run, and the
// server that the other commands talk to.
var known = map[string]bool{"go test ./...": true, "go run ./cmd/foremand -dev": true}

// What the commands of some documents need beside that.
var prepared = map[string]func(t *testing.T, d *documented){
	"foremand.md": func(t *testing.T, d *documented) { // there are jobs in the default place
		end(t, at(t, place{"-data", filepath.Join(d.dir, "foreman-data")}))
	},
	"several.md": func(t *testing.T, d *documented) { // there is PostgreSQL
		db := pgtest.URL(t)
		d.replace = append(d.replace, "postgres://postgres@localhost/postgres?sslmode=disable", db)
		d.environ = append(d.environ, "FOREMAN_STORE_SCHEMA="+pgtest.Schema(t, db))
		for _, port := range []string{":8471", ":8472"} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			_, free, err := net.SplitHostPort(ln.Addr().String())
			require.NoError(t, err)
			require.NoError(t, ln.Close())
			d.replace = append(d.replace, port, ":"+free)
		}
	},
}

// documented are the commands of a document.
type documented struct {
	dir     string   // where they are typed
	environ []string // more than that of the test
	replace []string // old, new, ...
}

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
					script = append(script, line)
				}
			}
		}
		if len(script) == 0 {
			continue
		}
		commands += len(script)
		t.Run(filepath.Base(doc), func(t *testing.T) {
			d := documented{dir: t.TempDir(), replace: []string{"curl ", "curl -f ", "go run ./cmd/foremand ", "foremand ", ":8470", ":" + port}}
			if prepare := prepared[filepath.Base(doc)]; prepare != nil {
				prepare(t, &d)
			}
			// What runs in the background ends with the shell.
			all := "trap 'kill -9 $(jobs -p) 2>/dev/null || true; wait' EXIT\n" + strings.NewReplacer(d.replace...).Replace(strings.Join(script, "\n"))
			cmd := exec.CommandContext(t.Context(), "bash", "-euc", all)
			ours := func(v string) bool { return strings.HasPrefix(v, "FOREMAN_") }
			cmd.Dir, cmd.Env = d.dir, append(slices.DeleteFunc(os.Environ(), ours), d.environ...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
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
