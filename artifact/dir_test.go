package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func TestOpenSeeks(t *testing.T) {
	d, _ := open(t)
	put(t, d, key(1, 1, "a"), []byte("0123456789"))
	f, err := d.Open(t.Context(), key(1, 1, "a"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	_, err = f.Seek(-3, io.SeekEnd)
	require.NoError(t, err)
	tail, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "789", string(tail))
	require.IsType(t, &os.File{}, f)
}

func TestClosed(t *testing.T) {
	d, _ := open(t)
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	_, err := d.Put(t.Context(), key(1, 1, "a"), "", bytes.NewReader(nil), 0)
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = d.Open(t.Context(), key(1, 1, "a"))
	require.ErrorIs(t, err, os.ErrClosed)
	require.ErrorIs(t, d.Remove(t.Context(), key(1, 1, "a")), os.ErrClosed)
	_, err = d.Sweep(t.Context(), nil)
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestOpenDir(t *testing.T) {
	base := t.TempDir()
	d, err := artifact.OpenDir(filepath.Join(base, "with", "parents", "artifacts") + string(filepath.Separator))
	require.NoError(t, err)
	put(t, d, key(1, 1, "a"), nil)
	require.NoError(t, d.Close())

	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{file, filepath.Join(file, "below"), ""} {
		_, err = artifact.OpenDir(path)
		require.Error(t, err, "%q", path)
	}
}

// A directory is one process's. Who comes while it is open is told what to do, and who
// comes then finds everything.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		d, err := artifact.OpenDir(path)
		require.NoError(t, err)
		put(t, d, key(1, 1, "a"), []byte("x"))
		_, err = artifact.OpenDir(path)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "another process has it open: stop that process, or ")

		next := make(chan error, 1)
		go func() {
			second, err := artifact.OpenDir(path)
			if err == nil {
				err = errors.Join(second.Close(), d.Close())
			}
			next <- err
		}()
		synctest.Wait() // until it waits
		require.NoError(t, d.Close())
		require.NoError(t, <-next, "a process that is ending is waited for")

		d, err = artifact.OpenDir(path)
		require.NoError(t, err)
		require.Equal(t, "x", string(get(t, d, key(1, 1, "a"))))
		require.NoError(t, d.Own(t.Context(), "one"))
		require.NoError(t, d.Close())
		d, err = artifact.OpenDir(path)
		require.NoError(t, err)
		err = d.Own(t.Context(), "two")
		require.ErrorIs(t, err, artifact.ErrOwned)
		require.ErrorContains(t, err, path+`: it belongs to another queue, whose id is in its file queue ("one", and this one is "two"): give this queue a directory of its own; if `)
		require.NoError(t, os.Remove(filepath.Join(path, "queue")))
		require.NoError(t, d.Own(t.Context(), "two"), "as was said")
		require.NoError(t, d.Close())
	})
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other permissions")
	}
	d, dir := open(t)
	put(t, d, key(42, 1, "a"), nil)
	for _, path := range []string{dir, filepath.Join(dir, "tmp"), filepath.Join(dir, "42")} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), path)
	}
	info, err := os.Stat(filepath.Join(dir, files(t, dir)[0]))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestLinksDoNotLeadOut(t *testing.T) {
	d, dir := open(t)
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
	if err := os.Symlink(outside, filepath.Join(dir, "42")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	_, err := d.Put(t.Context(), key(42, 1, "a"), "", bytes.NewReader([]byte("x")), 0)
	require.Error(t, err)
	_, err = d.Sweep(t.Context(), func(string, uint64) (bool, error) { return false, nil })
	require.Error(t, err)
	require.Equal(t, []string{"secret"}, files(t, outside))

	require.NoError(t, os.Remove(filepath.Join(dir, "42")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "42"), 0o700))
	k := key(42, 1, "link")
	put(t, d, k, nil)
	path := filepath.Join(dir, "42", k.Job+"-1-link")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), path))
	_, err = d.Open(t.Context(), k)
	require.Error(t, err)
}
