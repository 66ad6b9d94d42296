// Package bolt keeps Foreman's records in one bbolt file: the default store,
// with nothing to install and nothing to run beside the program.
//
// One caller at a time writes: it takes everything waiting, makes it one
// transaction and answers all of it. A lone caller pays one commit, and many
// callers share one. There is no timer and no goroutine.
//
// Every value carries a checksum, so that a damaged record is reported as
// [store.ErrDamaged] instead of being read. One process at a time can open the
// file; the leases that it finds in it belong to a process that is gone, so
// they are void from the start.
package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/foreman-go/foreman/store"
)

// Options are for [Open]. Nil stands for the zero value.
type Options struct {
	// MaxSize bounds the bytes in use in the file. Once it is reached, Insert
	// answers [store.ErrFull] while every other call still works, so that what
	// is queued can end and be pruned. If MaxSize is 0, 64 GiB is used.
	MaxSize int64
	// LockTimeout is how long Open waits for another process to let go of the
	// file. If LockTimeout is 0, one second is used.
	LockTimeout time.Duration
}

const (
	defaultMaxSize     = 64 << 30
	defaultLockTimeout = time.Second
	// The map is reserved address space, not memory. Growing it makes the
	// writer wait for every reader, so begin beyond what most files reach.
	initialMmapSize = 4 << 30
	// bbolt writes page by page: with pages of twice the usual size a commit of many
	// records takes half the calls, and that of one is no slower. Only new files get it.
	pageSize = 8 << 10
	// No file of bbolt, whatever its page size, is shorter.
	leastSize = 4 * 4096
)

// Store is a [store.Store] in one file.
type Store struct {
	db      *bbolt.DB
	path    string
	maxSize int64
	w       writer
	leases  leases
	closing sync.Once
	closed  error
}

var _ store.Store = (*Store)(nil)

// Open opens the file, creating it if need be with mode 0600. It refuses, with
// an error that names the file and says what to do, a file that another process
// has open, one that is damaged ([store.ErrDamaged]), and one that a newer
// version has written.
func Open(path string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Store{path: path, maxSize: o.MaxSize, leases: newLeases()}
	if s.maxSize <= 0 {
		s.maxSize = defaultMaxSize
	}
	timeout := o.LockTimeout
	if timeout <= 0 {
		timeout = defaultLockTimeout
	}
	err := guard(func() error { return s.open(timeout) })
	if err != nil {
		if s.db != nil {
			_ = guard(s.db.Close)
		}
		return nil, fmt.Errorf("store file %s: %w", path, advise(err))
	}
	s.w.idle.L = &s.w.mu
	return s, nil
}

// advise says what to do about a damaged file.
func advise(err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: restore the data directory from a backup, or move it away to begin anew", err)
}

func (s *Store) open(timeout time.Duration) error {
	fi, statErr := os.Stat(s.path)
	if statErr == nil && fi.Size() > 0 && fi.Size() < leastSize {
		return fmt.Errorf("%w: it is cut short, or something else: it has %d bytes", store.ErrDamaged, fi.Size())
	}
	bo := &bbolt.Options{
		Timeout:      timeout,
		FreelistType: bbolt.FreelistMapType,
		PageSize:     pageSize,
		NoStatistics: false,
	}
	if runtime.GOOS != "windows" && ^uint(0)>>63 == 1 {
		bo.InitialMmapSize = initialMmapSize
	}
	db, err := bbolt.Open(s.path, 0o600, bo)
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return errors.New("another process has it open: stop that process, or give this one a file of its own")
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	case err != nil:
		return err
	}
	s.db = db
	if os.IsNotExist(statErr) {
		if err := syncDir(filepath.Dir(s.path)); err != nil {
			return err
		}
	}
	if err := s.checkSize(); err != nil {
		return err
	}
	return s.prepare()
}

// checkSize refuses a file that ends before the last page it speaks of: reading
// such a page would be a fault that no program can catch.
func (s *Store) checkSize() error {
	fi, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		if fi.Size() < tx.Size() {
			return fmt.Errorf("%w: it is cut short, %d bytes of at least %d", store.ErrDamaged, fi.Size(), tx.Size())
		}
		return nil
	})
}

// prepare makes the buckets, checks the format, sees to the id, and voids the leases of
// whichever process had the file before.
func (s *Store) prepare() error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	for b := range bucketCount {
		if _, err := tx.CreateBucketIfNotExists(bucketNames[b]); err != nil {
			return err
		}
	}
	t := &txn{tx: tx, now: now(), store: s, values: &arena{}}
	switch v := t.get(bucketMeta, formatKey); {
	case v == nil:
		if err := t.bucket(bucketMeta).Put(formatKey, []byte{formatVersion}); err != nil {
			return err
		}
	case len(v) != 1 || v[0] != formatVersion:
		return fmt.Errorf("it has format %x, and this version knows only %x: use the version that wrote it", v, formatVersion)
	}
	if err := t.identify(); err != nil {
		return err
	}
	if err := t.countBacklog(); err != nil {
		return err
	}
	if err := t.voidLeases(); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	return tx.Commit()
}

// Close waits for the writes on their way, then releases the file.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.w.stop()
		s.closed = guard(s.db.Close)
	})
	return s.closed
}

// now is the store's clock, at the resolution that records keep.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
