package artifact

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// makeDirs makes a directory, and the parents that it lacks, and makes each of
// them durable. One that is there already is taken as it is.
func makeDirs(path string) error {
	parent := filepath.Dir(path)
	err := os.Mkdir(path, dirMode)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := makeDirs(parent); err != nil {
			return err
		}
		err = os.Mkdir(path, dirMode)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	return syncAndClose(f, (*os.File).Sync)
}

// makeShard makes the directory of a shard durable, unless it is. Two Puts that
// are the first of one shard both wait until it is durable.
func (d *Dir) makeShard(dir string) error {
	n, _ := shardNumber(dir)
	s := &d.shards[n]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.durable {
		return nil
	}
	if err := d.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.syncDir("."); err != nil {
		return err
	}
	s.durable = true
	return nil
}

// syncDir makes durable which files are in a directory.
func (d *Dir) syncDir(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return syncAndClose(f, d.fsync)
}

// syncAndClose syncs an open directory, where the system can do that, and
// closes it.
func syncAndClose(dir *os.File, fsync func(*os.File) error) error {
	defer func() { _ = dir.Close() }()
	if runtime.GOOS == "windows" { // it refuses to flush a directory
		return nil
	}
	return fsync(dir)
}
