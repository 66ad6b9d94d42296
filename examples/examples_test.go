// Package examples holds small complete programs, and this test that runs them.
package examples_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
)

func TestExamples(t *testing.T) {
	for name, want := range map[string]string{
		"submit":  "queued\nworking\ndone\n\"HELLO\"\n",
		"mount":   "200 OK\nfinished: true\nlinks with the prefix: true\n",
		"backend": "done in attempt 2 {\"bytes\":21,\"pages\":3}\nbook.txt text/plain; charset=utf-8\npage 1\npage 2\npage 3\n",
		"command": "done sorted.txt\n2 apple\n3 fig\n1 pear\nfailed backend_rejected\n" +
			"argument 1 of the program: {{.Input.column}}: the input has no \"column\"\nfailed backend_error\n",
		"receiver": "1: queued\n2: working\n3: done\n",
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "go", "run", "./"+name).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, want, string(out))
		})
	}
}

func TestPostgres(t *testing.T) {
	db := pgtest.URL(t)
	out, err := exec.CommandContext(t.Context(), "go", "run", "./postgres", "-db", db, "-schema", pgtest.Schema(t, db)).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "queued\nworking\ndone\nHELLO\n", string(out))
}
