package blobstore

import (
	"context"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"

	"github.com/foreman-go/foreman/artifact"
)

const (
	// smallSize is how many bytes are gathered before an upload begins: what is
	// not larger is one request, and needs no more memory. It is a little more
	// than most artifacts that are put into JSON have.
	smallSize = artifact.InlineLimit
	// bufferSize is what a Put reads at a time.
	bufferSize = 128 << 10
	// uploads is how many parts of one large artifact are on their way at once.
	uploads = 2
	// removals is how many objects one call removes at once.
	removals = 16
	// pageSize is how many objects are listed at a time.
	pageSize = 1000

	minPartSize = 5 << 20 // S3 takes no smaller ones
)

// Options are the settings of a [Store].
type Options struct {
	// SweepAge is how long, by the clock of the bucket, everything of a job and
	// run stays after something was put for it, whatever [Store.Sweep] is told:
	// it may be what another process is putting right now. If SweepAge is 0, an
	// hour is used; if it is negative, no time at all, which is for a store that
	// one process uses alone.
	SweepAge time.Duration
	// PartSize is the size in bytes of the parts that a large artifact is sent
	// in, where the object store takes parts: at least 5 MiB, and S3 takes at most
	// 10,000 parts. A Put of a large artifact takes the memory of some parts, and
	// with S3 32 MiB more, whatever the size. If PartSize is 0, 8 MiB is used.
	PartSize int
}

// Store is an [artifact.Store] and an [artifact.Spooler] in a bucket, [artifact.Owned]
// by one queue. Its methods are safe for concurrent use, and any number of processes
// of that queue may use a bucket at a time.
type Store struct {
	bucket   *blob.Bucket
	where    string // for messages; without secrets
	sweepAge time.Duration
	partSize int
	files    bool // the bucket is a directory
	marked   bool // and the object clock was put there when it was opened

	closed  atomic.Bool
	puts    guard
	buffers sync.Pool // of *[]byte, bufferSize long
	smalls  sync.Pool // of *[]byte, with room for smallSize
	shards  sync.Map  // of directories that are durable, if files
}

var (
	_ artifact.Store   = (*Store)(nil)
	_ artifact.Spooler = (*Store)(nil)
	_ artifact.Owned   = (*Store)(nil)
)

// New returns the store in a bucket that the caller has opened, for what no URL
// can say. The store closes the bucket. Nothing is sent to it yet. If o is nil,
// the defaults are used.
//
// A bucket of fileblob has to be opened with Options.NoTempDir and with
// MetadataDontWrite, as [Open] does: without, an artifact does not survive a loss
// of power, or costs two files.
func New(bucket *blob.Bucket, o *Options) *Store {
	if o == nil {
		o = &Options{}
	}
	s := &Store{bucket: bucket, where: "the bucket", sweepAge: o.SweepAge, partSize: o.PartSize}
	if s.sweepAge == 0 {
		s.sweepAge = time.Hour
	}
	if s.partSize == 0 {
		s.partSize = 8 << 20
	}
	s.partSize = max(s.partSize, minPartSize)
	s.files = s.isDirectory()
	s.puts.claims = map[claim]*activity{}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	s.smalls.New = func() any { b := make([]byte, 0, smallSize); return &b }
	return s
}

// isDirectory reports whether the bucket is a directory, and there.
func (s *Store) isDirectory() bool {
	var info fs.FileInfo
	return s.bucket.As(&info)
}

// Close releases the bucket, which stays what it is. Methods that are called later
// return an error that is [os.ErrClosed]; it must not be called while one runs.
// Closing twice is not an error.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.bucket.Close()
}

// usable is asked first by every method.
func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return os.ErrClosed
	}
	return ctx.Err()
}

// clockKey is the object that is written to see what time it is.
const (
	clockKey  = "clock"
	clockText = "Foreman writes this object to see what time it is here.\n"
)

// now is the time by the clock of the bucket, which is the one that its objects
// have the time of.
func (s *Store) now(ctx context.Context) (time.Time, error) {
	if _, err := s.note(ctx, clockKey, clockText, false); err != nil {
		return time.Time{}, err
	}
	a, err := s.bucket.Attributes(ctx, clockKey)
	if err != nil {
		return time.Time{}, s.unavailable(ctx, err)
	}
	return a.ModTime, nil
}
