package receivers_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/need"
)

const npm = "testdata/npm"

func needsNode(t *testing.T) {
	t.Helper()
	need.Node(t, npm, "to have deliveries verified by the libraries for Node")
}

func TestNodeLibraries(t *testing.T) {
	needsNode(t)
	type line struct {
		Library string            `json:"library"`
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    []byte            `json:"body"` // base64
	}
	var in bytes.Buffer
	var names []string
	var want []bool
	enc := json.NewEncoder(&in)
	for name, d := range deliveries(t) {
		headers := make(map[string]string)
		for k := range d.header {
			headers[strings.ToLower(k)] = d.header.Get(k) // as node:http has them
		}
		for _, library := range []string{"standardwebhooks", "svix", "octokit"} {
			l := line{Library: library, Secret: shared(d.secret), Headers: headers, Body: d.body}
			ok := d.standard
			if library == "octokit" {
				l.Secret, ok = d.secret, d.github
			}
			require.NoError(t, enc.Encode(l))
			names, want = append(names, library+", "+name), append(want, ok)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "verify.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = npm, &in, os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	dec := json.NewDecoder(bytes.NewReader(out))
	for i, name := range names {
		var got struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		}
		require.NoError(t, dec.Decode(&got), name)
		require.Equal(t, want[i], got.OK, "%s: %s", name, got.Error)
	}
	require.False(t, dec.More())
}
