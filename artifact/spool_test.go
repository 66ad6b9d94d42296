package artifact_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

var _ artifact.Spooler = (*artifact.Dir)(nil)

func readSpool(t *testing.T, d *artifact.Dir, job string, attempt uint64) string {
	t.Helper()
	r, err := d.OpenSpool(job, attempt)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, errors.Join(err, r.Close()))
	return string(data)
}

// What has been written to a spool can be read while it is written, and by another Dir
// over the same directory, as after the death of a process.
func TestSpool(t *testing.T) {
	d, path := open(t)
	job := key(1, 0, "").Job
	_, err := d.OpenSpool(job, 2)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.NoError(t, d.RemoveSpool(job, 2), "there is none")
	w, err := d.CreateSpool(job, 2)
	require.NoError(t, err)
	_, err = d.CreateSpool(job, 2)
	require.ErrorIs(t, err, os.ErrExist)
	for _, text := range []string{"one", "two"} {
		_, err = io.WriteString(w, text)
		require.NoError(t, err)
	}
	require.Equal(t, "onetwo", readSpool(t, d, job, 2))
	require.NoError(t, w.Close())
	require.NoError(t, d.Close())

	d, err = artifact.OpenDir(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	require.Equal(t, "onetwo", readSpool(t, d, job, 2))
	removed, err := d.Sweep(t.Context(), func(string, uint64) (bool, error) { return false, nil })
	require.NoError(t, err)
	require.Zero(t, removed, "spools are swept apart")
	require.NoError(t, d.RemoveSpool(job, 2))
	require.Empty(t, files(t, path))
}

func TestSpoolOfNoJob(t *testing.T) {
	d, path := open(t)
	for _, job := range []string{"", "../x", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01arz3ndektsv4rrffq69g5fav"} {
		_, err := d.CreateSpool(job, 1)
		require.ErrorIs(t, err, artifact.ErrName)
		_, err = d.OpenSpool(job, 1)
		require.ErrorIs(t, err, artifact.ErrName)
		require.ErrorIs(t, d.RemoveSpool(job, 1), artifact.ErrName)
	}
	require.Empty(t, files(t, path))
}

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
