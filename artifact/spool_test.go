package artifact_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

var _ artifact.Spooler = (*artifact.Dir)(nil)

func TestSweepSpools(t *testing.T) {
	d, path := open(t)
	for n := 1; n <= 3; n++ {
		w, err := d.CreateSpool(key(n, 0, "").Job, uint64(n))
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	foreign := []string{"spool/" + key(1, 0, "").Job + "-01", "spool/notes", "spool/" + key(1, 0, "").Job}
	for _, name := range foreign {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
	}
	broken := errors.New("broken")
	_, err := d.SweepSpools(t.Context(), func(string, uint64) (bool, error) { return false, broken })
	require.ErrorIs(t, err, broken)
	removed, err := d.SweepSpools(t.Context(), func(job string, attempt uint64) (bool, error) {
		require.Equal(t, key(int(attempt), 0, "").Job, job)
		return attempt == 2, nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, removed)
	require.ElementsMatch(t, append(foreign, "spool/"+key(2, 0, "").Job+"-2"), files(t, path))
}
