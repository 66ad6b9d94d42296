// Package artifact keeps the named outputs of jobs: a [Store] to put them in,
// and [Dir], which keeps each one in a file. Package artifact/blobstore keeps
// them in a bucket of an object store, which several machines can share.
//
// An artifact is written once, as a stream, and read many times. It is known by
// its [Key]: the job, the claim of the job that wrote it, and its name. What is
// to be remembered about it is its [Info], which the store returns and the
// caller keeps, with the job; the store has nothing but the bytes.
//
// The package is a leaf: it knows nothing of jobs but their ids.
package artifact

import (
	"context"
	"fmt"
	"io"
)

// InlineLimit is the size in bytes up to which, and including which, an
// artifact is put into the JSON of its job. A larger one is given by its URL.
const InlineLimit = 262_144

// Info describes an artifact that was put into a store.
type Info struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"` // as returned by [CheckContentType]
	Size        int64  `json:"size"`         // in bytes
	SHA256      string `json:"sha256"`       // of the bytes, in lower-case hexadecimal
}

// Inline reports whether the artifact is small enough to be put into the JSON
// of its job: whether its size is at most [InlineLimit].
func (i Info) Inline() bool { return i.Size <= InlineLimit }

// Key names an artifact in a store.
type Key struct {
	// Job is the id of the job: a ULID in its canonical text form, which is 26
	// upper-case characters of Crockford's base 32.
	Job string
	// Run tells apart the outputs of different claims of the job, so that a
	// worker that has lost its lease cannot overwrite what its successor wrote.
	Run uint64
	// Name is one that [CheckName] accepts. Names are compared byte by byte:
	// "Log.txt" and "log.txt" are two artifacts, in every store and on every
	// file system.
	Name string
}

// String returns the key in a form for messages.
func (k Key) String() string { return fmt.Sprintf("%q of job %q run %d", k.Name, k.Job, k.Run) }

// Store keeps artifacts.
//
// Every method is safe for concurrent use. Given a key that cannot be one, it
// returns [ErrName]; given a context that has ended, the context's error. A store
// that is reached over a network returns [ErrUnavailable] when it cannot be used.
//
// Package artifact/artifacttest proves that a Store is one. [Key.Check],
// [Key.Path], [CheckContentType] and [Copy] are for those who write one.
type Store interface {
	// Put reads r to its end and keeps what it read under k, durably: when Put
	// returns without an error, the artifact survives the loss of the process
	// and of power. What was there under k before is replaced at once: a reader
	// sees the old bytes or the new ones. Concurrent Puts under one key leave
	// one of the artifacts whole.
	//
	// The content type is passed through [CheckContentType] and returned in the
	// Info; it is not kept. A limit above 0 is the largest size in bytes.
	//
	// Put returns [ErrTooLarge] if r holds more than limit bytes,
	// [ErrContentType] for a content type it does not accept, the error of r,
	// wrapped, and the context's error if it ended before the artifact was
	// complete. Then, and when it cannot write, nothing new is kept, and what
	// was there under k before is still there. Only when the very last step is not
	// answered, because a network broke or ctx ended during it, may k hold either of
	// the new bytes and the old, whole. The context is looked at between reads: a
	// Read that blocks is not interrupted.
	//
	// Put does not close r, and does not use memory in proportion to the size.
	Put(ctx context.Context, k Key, contentType string, r io.Reader, limit int64) (Info, error)

	// Open returns the bytes of an artifact. The caller closes it, and does not let
	// ctx end before: a store may fetch the bytes as they are read. What is
	// returned is used by one goroutine at a time.
	//
	// It never reads bytes of two artifacts. If the artifact is replaced or removed
	// meanwhile, it reads on in the one that was opened, as [Dir] does, or, where
	// the store cannot do that, fails: with [ErrChanged] or [ErrNotFound]. (Such a
	// store may take one for the other when nothing has been read yet and both have
	// the same size.) If there is no such artifact, Open returns [ErrNotFound].
	Open(ctx context.Context, k Key) (io.ReadSeekCloser, error)

	// Remove removes artifacts. One that is not there is not an error. If some
	// cannot be removed, the others are, and the errors are joined. After a
	// loss of power a removed artifact may be there again: see Sweep.
	Remove(ctx context.Context, keys ...Key) error

	// Sweep removes what no job knows any more. It asks keep about every job
	// and run that it finds, and removes the artifacts of those for which keep
	// says false; what is left of Puts that a crash ended goes too. It returns
	// how many files (or whatever the store keeps artifacts in) it removed.
	//
	// It is safe while Puts run: what a Put is writing stays, and so does
	// everything of a job and run for which a Put was under way at any time
	// between the question to keep and the removal. The next Sweep sees to it. A
	// store that several processes share, and that cannot see the Puts of the
	// others, keeps what was put within a time that it documents instead.
	//
	// When keep returns an error, Sweep stops and returns it, wrapped. When
	// something cannot be removed, Sweep goes on, and returns the first such
	// error. keep may block and may call the store; it is not called
	// concurrently by one Sweep.
	Sweep(ctx context.Context, keep func(job string, run uint64) (bool, error)) (removed int, err error)
}
