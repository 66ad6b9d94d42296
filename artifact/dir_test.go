package artifact_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

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
