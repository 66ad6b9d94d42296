package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"

	"github.com/foreman-go/foreman/artifact"
)

// firstWindow is how much is asked for when reading begins somewhere: most ranges
// are no longer, and what is asked for and not read breaks a connection. Whoever
// reads on gets the rest in one piece.
const firstWindow = 1 << 20

// Open is the Open of [artifact.Store]. It asks the bucket for the size of the
// artifact, and nothing more: bytes are fetched when they are read, from where
// they are read. ctx must not end before the reader is closed.
//
// If the artifact is replaced or removed meanwhile, reading goes on with the bytes
// that are on their way already, and then fails with [artifact.ErrChanged] or
// [artifact.ErrNotFound]. Where the bucket tells times in whole seconds, one that is
// replaced within the second that it was written, by as many bytes, and before its
// first byte is read, may be read as it is then.
func (s *Store) Open(ctx context.Context, k artifact.Key) (io.ReadSeekCloser, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	err := s.usable(ctx)
	var a *blob.Attributes
	if err == nil {
		if a, err = s.bucket.Attributes(ctx, objectKey(k)); err != nil {
			err = s.missing(ctx, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("blobstore: open %v: %w", k, err)
	}
	r := &reader{s: s, key: k, object: objectKey(k), size: a.Size, etag: a.ETag, modTime: a.ModTime}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r, nil
}

// missing tells what is not there from what cannot be reached.
func (s *Store) missing(ctx context.Context, err error) error {
	if isNotFound(err) {
		return s.notFound(ctx)
	}
	return s.unavailable(ctx, err)
}

// reader reads an object, in as few requests as it can.
type reader struct {
	s      *Store
	key    artifact.Key
	object string
	ctx    context.Context
	cancel context.CancelFunc

	// What was opened, and has to stay.
	size    int64
	etag    string
	modTime time.Time

	offset int64 // of the next Read
	body   *blob.Reader
	at     int64 // where body stands
	end    int64 // where it ends
	opened bool  // there was a body before
	closed bool
}

// Read reads from the current offset.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("blobstore: read %v: %w", r.key, err)
	}
	return n, err
}

func (r *reader) read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, errReaderClosed
	case len(p) == 0:
		return 0, nil
	case r.offset >= r.size:
		return 0, io.EOF
	case r.body == nil || r.at != r.offset || r.at == r.end:
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.at)])
	r.at += int64(n)
	r.offset = r.at
	if n > 0 { // a fault comes again
		return n, nil
	}
	if err == nil {
		return 0, nil
	}
	if errors.Is(err, io.EOF) { // before the end
		err = io.ErrUnexpectedEOF
	}
	r.release()
	return 0, r.s.unavailable(r.ctx, err)
}

// fetch asks for the bytes from the current offset on.
func (r *reader) fetch() error {
	length := min(r.size-r.offset, firstWindow)
	if r.body != nil && r.at == r.offset {
		length = r.size - r.offset
	}
	r.release()
	body, err := r.s.bucket.NewRangeReader(r.ctx, r.object, r.offset, length, nil)
	if err != nil {
		return r.s.missing(r.ctx, err)
	}
	r.body, r.at, r.end = body, r.offset, r.offset+length
	if err = r.same(); err != nil {
		r.release()
	}
	return err
}

// same returns an error unless the body is of the object that was opened. Bodies
// tell the second it was written, which is enough for the first one. With another
// one, bytes of two objects would be mixed if it was replaced within that second:
// so the object is asked for its tag again, after the body was opened.
func (r *reader) same() error {
	if r.body.Size() != r.size || !sameTime(r.body.ModTime(), r.modTime) {
		return artifact.ErrChanged
	}
	if r.opened {
		a, err := r.s.bucket.Attributes(r.ctx, r.object)
		if err != nil {
			return r.s.missing(r.ctx, err)
		}
		if a.ETag != r.etag || a.Size != r.size || !sameTime(a.ModTime, r.modTime) {
			return artifact.ErrChanged
		}
	}
	r.opened = true
	return nil
}

// sameTime compares times, one of which may not be told, or in whole seconds.
func sameTime(a, b time.Time) bool {
	if a.Nanosecond() == 0 || b.Nanosecond() == 0 {
		a, b = a.Truncate(time.Second), b.Truncate(time.Second)
	}
	return a.IsZero() || b.IsZero() || a.Equal(b)
}

// Seek sets the offset. It asks the bucket for nothing.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch {
	case r.closed:
		return 0, errReaderClosed
	case whence == io.SeekCurrent:
		offset += r.offset
	case whence == io.SeekEnd:
		offset += r.size
	case whence != io.SeekStart:
		return 0, errors.New("blobstore: seek: invalid whence")
	}
	if offset < 0 {
		return 0, errors.New("blobstore: seek: negative position")
	}
	r.offset = offset
	return offset, nil
}

// release gives up the body.
func (r *reader) release() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

// Close ends what is on its way.
func (r *reader) Close() error {
	r.closed = true
	r.cancel()
	r.release()
	return nil
}
