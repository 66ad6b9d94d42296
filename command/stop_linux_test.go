package command_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program does not outlive the process that runs it.
func TestProcessKilled(t *testing.T) {
	cmd := exec.CommandContext(limited(t), os.Args[0], t.TempDir())
	cmd.Env = append(os.Environ(), program+"=host")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 64)
	n, err := out.Read(line)
	require.NoError(t, err)
	found := pids(t, string(line[:n]))
	require.Len(t, found, 1)
	require.True(t, alive(found[0]))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	requireGone(t, found)
}
