package daemon

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// One that a signal stops has not done what was asked for, and says what to do.
func TestMoveIsStopped(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jobs.tar")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	c, err := load([]string{"import", file, "-data", filepath.Join(dir, "data")}, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = runMove(ctx, c, io.Discard, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "the import was stopped before its end; make it again: ")
}
