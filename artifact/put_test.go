package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

// readerFunc makes a function a reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestLimit(t *testing.T) {
	d, _ := open(t)
	const limit = 300_000
	for name, c := range map[string]struct {
		size int
		want error
	}{
		"below":        {limit - 1, nil},
		"at the limit": {limit, nil},
		"one above":    {limit + 1, artifact.ErrTooLarge},
		"far above":    {10 * limit, artifact.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.Put(t.Context(), key(1, 1, "a"), "", bytes.NewReader(make([]byte, c.size)), limit)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// What goes wrong in a Put leaves no file, and does not touch the artifact that
// it was to replace.
func TestFailedPutLeavesNothing(t *testing.T) {
	broken := errors.New("pipe broke")
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	for name, c := range map[string]struct {
		put  func(d *artifact.Dir, k artifact.Key) error
		want error
	}{
		"too large": {func(d *artifact.Dir, k artifact.Key) error {
			_, err := d.Put(t.Context(), k, "", endless, 1<<20)
			return err
		}, artifact.ErrTooLarge},
		"content type": {func(d *artifact.Dir, k artifact.Key) error {
			_, err := d.Put(t.Context(), k, "nonsense", strings.NewReader("new"), 0)
			return err
		}, artifact.ErrContentType},
		"reader fails at once": {func(d *artifact.Dir, k artifact.Key) error {
			_, err := d.Put(t.Context(), k, "", iotest.ErrReader(broken), 0)
			return err
		}, broken},
		"reader fails later": {func(d *artifact.Dir, k artifact.Key) error {
			r := io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(broken))
			_, err := d.Put(t.Context(), k, "", r, 0)
			return err
		}, broken},
		"reader ends early": {func(d *artifact.Dir, k artifact.Key) error {
			_, err := d.Put(t.Context(), k, "", iotest.ErrReader(fmt.Errorf("cut off: %w", io.EOF)), 0)
			return err
		}, io.EOF},
		"reader returns nothing": {func(d *artifact.Dir, k artifact.Key) error {
			_, err := d.Put(t.Context(), k, "", readerFunc(func([]byte) (int, error) { return 0, nil }), 0)
			return err
		}, io.ErrNoProgress},
		"canceled between reads": {func(d *artifact.Dir, k artifact.Key) error {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := d.Put(ctx, k, "", readerFunc(func(p []byte) (int, error) {
				cancel()
				return len(p), nil
			}), 0)
			return err
		}, context.Canceled},
		"canceled, and the reader ends": {func(d *artifact.Dir, k artifact.Key) error {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := d.Put(ctx, k, "", readerFunc(func([]byte) (int, error) {
				cancel()
				return 0, io.EOF
			}), 0)
			return err
		}, context.Canceled},
		"disk full": {func(d *artifact.Dir, k artifact.Key) error {
			d.SetSync(func(f *os.File) error { return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.ENOSPC} })
			_, err := d.Put(t.Context(), k, "", strings.NewReader("new"), 0)
			return err
		}, syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := open(t)
			k := key(1, 1, "a")
			put(t, d, k, []byte("old"))
			require.ErrorIs(t, c.put(d, k), c.want)
			require.Equal(t, "old", string(get(t, d, k)))
			require.ErrorIs(t, c.put(d, key(2, 1, "a")), c.want)
			require.Len(t, files(t, dir), 1)
		})
	}
}

func TestPanicOfReaderLeavesNothing(t *testing.T) {
	d, dir := open(t)
	k := key(1, 1, "a")
	put(t, d, k, []byte("old"))
	require.Panics(t, func() {
		_, _ = d.Put(t.Context(), k, "", readerFunc(func([]byte) (int, error) { panic("reader") }), 0)
	})
	require.Len(t, files(t, dir), 1)
	removed, err := d.Sweep(t.Context(), func(string, uint64) (bool, error) { return false, nil })
	require.NoError(t, err)
	require.Equal(t, 1, removed, "the Put does not count as under way any more")
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
