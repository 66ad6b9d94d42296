package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// bufferSize is what a Put reads at a time.
const bufferSize = 128 << 10

// Dir is a [Store] and a [Spooler] that keeps each artifact, and each spool, in a file
// of its own, below one directory: see [OpenDir]. It is [Owned] by one queue.
type Dir struct {
	root    *os.Root
	locked  *os.File
	owning  sync.Mutex
	fsync   func(*os.File) error // (*os.File).Sync, but for tests
	buffers sync.Pool            // of *[]byte, for Puts
	shards  [shardCount]shard
	puts    inUse
}

// shard says what is known of one of the directories that hold artifacts.
type shard struct {
	mu      sync.Mutex
	durable bool // it exists, and survives a loss of power
}

// OpenDir opens the store in the directory path, which it creates, with the
// parents that it lacks, for the user of this process alone (mode 0700). One
// Dir, in one process, can use a directory at a time, since the Sweep of another
// would make its Puts fail: a directory that is in use is waited for for a second,
// and then refused. (Where the system has no locks on files, it is not noticed.)
// Nothing else should write there; files that the store has not made are left
// alone, except in the directory tmp.
//
// A Put is durable: it syncs the file, renames it into place, and syncs the
// directory that holds it, which is two syncs, and one more for the first
// artifact in each of 1,024 directories. Windows offers no way to sync a
// directory; there a loss of power may undo the latest Puts, but never leaves a
// part of an artifact.
//
// All paths are resolved within the directory ([os.Root]): neither a key nor a
// symbolic link put there leads out of it.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{
		fsync: (*os.File).Sync,
		puts:  inUse{temps: map[string]bool{}, claims: map[claim]*activity{}},
	}
	d.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	err := makeDirs(filepath.Clean(path))
	if err == nil {
		d.root, err = os.OpenRoot(path)
	}
	if err == nil {
		if err = d.prepare(); err != nil {
			_ = d.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: cannot keep artifacts in %q: %w", path, err)
	}
	return d, nil
}

// prepare locks the directory, makes what all Puts need, and finds the shards that are
// there.
func (d *Dir) prepare() error {
	if err := d.lock(); err != nil {
		return err
	}
	for _, dir := range []string{tempDir, spoolDir} {
		if err := d.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	names, err := d.list(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if n, ok := shardNumber(name); ok {
			d.shards[n].durable = true
		}
	}
	return d.syncDir(".") // a process that died may not have come to it
}

// Close releases the directory. It must not be called while another method
// runs; those called later return an error that is [os.ErrClosed]. Closing
// twice is not an error. What [Dir.Open] returned stays open.
func (d *Dir) Close() error {
	if d.locked != nil {
		_ = d.locked.Close() // the second time there is nothing to close
	}
	return d.root.Close()
}

// Open is the Open of [Store]. What it returns is an [*os.File], so that
// net/http can leave the copying to the system.
func (d *Dir) Open(ctx context.Context, k Key) (io.ReadSeekCloser, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.root.Open(k.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("artifact: %v: %w", k, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: open %v: %w", k, err)
	}
	return f, nil
}

// Remove is the Remove of [Store].
func (d *Dir) Remove(ctx context.Context, keys ...Key) error {
	var errs []error
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := k.Check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := d.root.Remove(k.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("artifact: remove %v: %w", k, err))
		}
	}
	return errors.Join(errs...)
}

// list returns the names in a directory, in no order.
func (d *Dir) list(dir string) ([]string, error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return f.Readdirnames(-1)
}
