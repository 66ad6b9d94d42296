package artifact_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func TestRoundTrip(t *testing.T) {
	d, dir := open(t)
	for n, size := range []int{0, 1, 1000, 128 << 10, 262_143, 262_144, 262_145, 3 << 20} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			data := noise(uint64(n), size)
			k := key(n, 7, "out.bin")
			info, err := d.Put(t.Context(), k, "Text/Plain", bytes.NewReader(data), int64(size))
			require.NoError(t, err)
			require.Equal(t, artifact.Info{
				Name: "out.bin", ContentType: "text/plain", Size: int64(size), SHA256: hashOf(data),
			}, info)
			require.Equal(t, size <= 262_144, info.Inline())
			require.Equal(t, data, get(t, d, k))

			again, err := artifact.OpenDir(dir)
			require.NoError(t, err)
			require.Equal(t, data, get(t, again, k), "by a store opened later")
			require.NoError(t, again.Close())
		})
	}
}

func TestKnownHash(t *testing.T) {
	d, _ := open(t)
	info := put(t, d, key(1, 1, "a"), []byte("abc"))
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", info.SHA256)
	require.Equal(t, "application/octet-stream", info.ContentType)
}

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

func TestKeysAreApart(t *testing.T) {
	d, dir := open(t)
	keys := []artifact.Key{
		key(1, 0, "a"), key(1, 1, "a"), key(1, 11, "a"), key(1, 1, "1-a"), key(1, 1, "b"), key(101, 1, "a"), key(2, 1, "a"),
		key(1, 18446744073709551615, "a"),
	}
	for i, k := range keys {
		put(t, d, k, []byte{byte(i)})
	}
	require.Len(t, files(t, dir), len(keys))
	for i, k := range keys {
		require.Equal(t, []byte{byte(i)}, get(t, d, k))
	}
}

func TestReplace(t *testing.T) {
	d, dir := open(t)
	k := key(1, 1, "a")
	put(t, d, k, []byte("the first, and longer"))
	reader, err := d.Open(t.Context(), k)
	require.NoError(t, err)
	defer func() { require.NoError(t, reader.Close()) }()

	put(t, d, k, []byte("second"))
	require.Equal(t, "second", string(get(t, d, k)))
	old, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, "the first, and longer", string(old), "a reader keeps what it opened")
	require.Len(t, files(t, dir), 1)
}

func TestRemove(t *testing.T) {
	d, dir := open(t)
	a, b, c := key(1, 1, "a"), key(1, 1, "b"), key(2, 1, "c")
	for _, k := range []artifact.Key{a, b, c} {
		put(t, d, k, []byte("x"))
	}
	require.NoError(t, d.Remove(t.Context()))
	require.NoError(t, d.Remove(t.Context(), a, key(3, 1, "missing"), c, c))
	gone(t, d, a)
	gone(t, d, c)
	require.Len(t, files(t, dir), 1)

	err := d.Remove(t.Context(), artifact.Key{Job: a.Job, Name: ".."}, b)
	require.ErrorIs(t, err, artifact.ErrName)
	gone(t, d, b)
}

func TestNotFound(t *testing.T) {
	d, _ := open(t)
	gone(t, d, key(1, 1, "in-no-shard"))
	put(t, d, key(1, 1, "a"), nil)
	gone(t, d, key(1, 1, "in-a-shard"))
	gone(t, d, key(1, 2, "a"))
}

func TestEndedContext(t *testing.T) {
	d, dir := open(t)
	k := key(1, 1, "a")
	put(t, d, k, []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Put(ctx, key(1, 1, "b"), "", bytes.NewReader(nil), 0)
	require.ErrorIs(t, err, context.Canceled)
	_, err = d.Open(ctx, k)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, d.Remove(ctx, k), context.Canceled)
	_, err = d.Sweep(ctx, func(string, uint64) (bool, error) { return false, nil })
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, files(t, dir), 1)
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

func TestConcurrentPuts(t *testing.T) {
	d, dir := open(t)
	const writers, each = 8, 20
	shared := key(0, 1, "shared")
	versions := map[string]bool{}
	for w := range writers {
		versions[hashOf(noise(uint64(w), 100_000))] = true
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				k := key(w*each+i, 1, "own")
				if _, err := d.Put(t.Context(), k, "", bytes.NewReader(noise(uint64(i), 1000)), 0); err != nil {
					t.Error(err)
				}
				if _, err := d.Put(t.Context(), shared, "", bytes.NewReader(noise(uint64(w), 100_000)), 0); err != nil {
					t.Error(err)
				}
				f, err := d.Open(t.Context(), shared)
				if err != nil {
					t.Error(err)
					return
				}
				data, _ := io.ReadAll(f)
				_ = f.Close()
				if !versions[hashOf(data)] {
					t.Errorf("read %d bytes that nobody wrote", len(data))
				}
			}
		})
	}
	group.Wait()
	require.Len(t, files(t, dir), writers*each+1)
	for n := range writers * each {
		require.Equal(t, noise(uint64(n%each), 1000), get(t, d, key(n, 1, "own")))
	}
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
