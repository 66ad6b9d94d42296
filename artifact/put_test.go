package artifact_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

// readerFunc makes a function a reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A full disk is told of when the file is synced, at the latest.
func TestFullDiskLeavesNothing(t *testing.T) {
	d, dir := open(t)
	k := key(1, 1, "a")
	put(t, d, k, []byte("old"))
	d.SetSync(func(f *os.File) error { return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.ENOSPC} })
	for _, k := range []artifact.Key{k, key(2, 1, "a")} {
		_, err := d.Put(t.Context(), k, "", strings.NewReader("new"), 0)
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	require.Equal(t, "old", string(get(t, d, k)))
	require.Len(t, files(t, dir), 1)
}

func TestErrorSaysWhatToDo(t *testing.T) {
	d, dir := open(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "tmp")))
	_, err := d.Put(t.Context(), key(1, 1, "a"), "", strings.NewReader("x"), 0)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, dir+" is there, can be written to and has free space")
}

// syncs makes a store note what it syncs, relative to its directory, with the
// number of artifacts that have their name by then.
func syncs(t *testing.T, d *artifact.Dir, dir string, fail func(n int) error) *[]string {
	noted := &[]string{}
	d.SetSync(func(f *os.File) error {
		path, err := filepath.Rel(dir, f.Name())
		require.NoError(t, err)
		if filepath.Dir(path) == "tmp" {
			path = "temporary file"
		}
		named := 0
		for _, file := range files(t, dir) {
			if !strings.HasPrefix(file, "tmp/") {
				named++
			}
		}
		*noted = append(*noted, fmt.Sprintf("%s, %d named", path, named))
		if err := fail(len(*noted)); err != nil {
			return err
		}
		return f.Sync()
	})
	return noted
}

func TestWhatIsSyncedAndWhen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not sync directories")
	}
	d, dir := open(t)
	noted := syncs(t, d, dir, func(int) error { return nil })
	put(t, d, key(42, 1, "a"), []byte("x"))
	require.Equal(t, []string{"., 0 named", "temporary file, 0 named", "42, 1 named"}, *noted, "a new shard")

	*noted = nil
	put(t, d, key(142, 1, "a"), []byte("x"))
	require.Equal(t, []string{"temporary file, 1 named", "42, 2 named"}, *noted, "a shard that is there")

	require.NoError(t, d.Close())
	again, err := artifact.OpenDir(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	noted = syncs(t, again, dir, func(int) error { return nil })
	put(t, again, key(242, 1, "a"), []byte("x"))
	require.Equal(t, []string{"temporary file, 2 named", "42, 3 named"}, *noted, "a shard of an earlier process")
}

func TestFailedSyncOfDirectory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not sync directories")
	}
	for name, c := range map[string]struct {
		failing int // which sync
		left    int // how many files
		again   []string
	}{
		"of the parent":  {1, 0, []string{"., 0 named", "temporary file, 0 named", "42, 1 named"}},
		"of the shard":   {3, 1, []string{"temporary file, 1 named", "42, 1 named"}},
		"of the content": {2, 0, []string{"temporary file, 0 named", "42, 1 named"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := open(t)
			k := key(42, 1, "a")
			noted := syncs(t, d, dir, func(n int) error {
				if n == c.failing {
					return syscall.EIO
				}
				return nil
			})
			_, err := d.Put(t.Context(), k, "", strings.NewReader("x"), 0)
			require.ErrorIs(t, err, syscall.EIO)
			require.Len(t, *noted, c.failing)
			require.Len(t, files(t, dir), c.left)

			noted = syncs(t, d, dir, func(int) error { return nil })
			put(t, d, k, []byte("x"))
			require.Equal(t, c.again, *noted, "nothing is taken for durable that is not")
		})
	}
}

func TestMemoryDoesNotGrowWithSize(t *testing.T) {
	d, _ := open(t)
	d.SetSync(func(*os.File) error { return nil })
	allocated := func(size int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), size)
		info, err := d.Put(t.Context(), key(1, 1, "a"), "", r, size)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Equal(t, size, info.Size)
		return after.TotalAlloc - before.TotalAlloc
	}
	require.Less(t, allocated(64<<20), uint64(1<<20))
}
