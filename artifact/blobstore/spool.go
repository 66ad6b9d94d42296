package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/foreman-go/foreman/artifact"
)

const (
	// spoolPrefix begins the keys of the segments of spools, which are
	// spool/<job>-<attempt>-<number>, the number in ten digits.
	spoolPrefix = "spool/"
	// maxSegment is the size in bytes of the largest segment, and so what reading a
	// spool takes of memory.
	maxSegment = 1 << 20
	// spoolTime bounds each request for a spool: those who ask have no context.
	spoolTime = 30 * time.Second
)

// spoolKey is what the keys of the segments of a spool begin with.
func spoolKey(job string, attempt uint64) (string, error) {
	if err := artifact.CheckJob(job); err != nil {
		return "", err
	}
	return spoolPrefix + job + "-" + strconv.FormatUint(attempt, 10) + "-", nil
}

func segmentKey(prefix string, n int) string { return fmt.Sprintf("%s%010d", prefix, n) }

// parseSegment reads the key of a segment; ok is false for an object that no store
// has made.
func parseSegment(object string) (job string, attempt uint64, whole, ok bool) {
	key := object
	if finished, unfinished := finishedName(object); unfinished {
		key = finished
	}
	parts := strings.Split(strings.TrimPrefix(key, spoolPrefix), "-")
	if len(parts) != 3 {
		return "", 0, false, false
	}
	attempt, err := strconv.ParseUint(parts[1], 10, 64)
	number, err2 := strconv.Atoi(parts[2])
	prefix, err3 := spoolKey(parts[0], attempt)
	ok = errors.Join(err, err2, err3) == nil && segmentKey(prefix, number) == key
	return parts[0], attempt, key == object, ok
}

// CreateSpool is the CreateSpool of [artifact.Spooler]. There is no appending to an
// object, so that each Write puts an object of its own, or one for each MiB of
// what it is given, and returns when the bucket has it: any process can read it
// from then on, whatever becomes of this one. A request may take 30 seconds at
// most. In a directory, it need not survive a loss of power.
func (s *Store) CreateSpool(job string, attempt uint64) (io.WriteCloser, error) {
	prefix, err := spoolKey(job, attempt)
	if err != nil {
		return nil, err
	}
	w := &spoolWriter{s: s, prefix: prefix}
	if err := w.segment(nil); err != nil { // the beginning, for there is no empty spool otherwise
		if gcerrors.Code(err) == gcerrors.FailedPrecondition {
			err = os.ErrExist
		}
		return nil, fmt.Errorf("blobstore: create spool %d of job %q: %w", attempt, job, err)
	}
	return w, nil
}

// spoolWriter writes the segments of a spool.
type spoolWriter struct {
	s      *Store
	prefix string
	next   int // number
	closed bool
}

// Write keeps p, or returns an error and keeps what came before the number of bytes
// that it returns.
func (w *spoolWriter) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, os.ErrClosed
	}
	for n < len(p) {
		some := p[n:min(len(p), n+maxSegment)]
		if err := w.segment(some); err != nil {
			return n, fmt.Errorf("blobstore: write spool: %w", err)
		}
		n += len(some)
	}
	return n, nil
}

// segment puts one object. There must be none of its key: somebody else would be
// writing the same spool.
func (w *spoolWriter) segment(p []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), spoolTime)
	defer cancel()
	if err := w.s.usable(ctx); err != nil {
		return err
	}
	if err := w.s.mounted(ctx); err != nil {
		return err
	}
	err := w.s.bucket.WriteAll(ctx, segmentKey(w.prefix, w.next), p, &blob.WriterOptions{
		ContentType: "application/octet-stream", MaxConcurrency: 1, IfNotExist: w.next == 0,
	})
	if err != nil {
		return w.s.unavailable(context.Background(), err) // also when the time is over
	}
	w.next++
	return nil
}

func (w *spoolWriter) Close() error {
	w.closed = true
	return nil
}

// OpenSpool is the OpenSpool of [artifact.Spooler].
func (s *Store) OpenSpool(job string, attempt uint64) (io.ReadCloser, error) {
	prefix, err := spoolKey(job, attempt)
	if err != nil {
		return nil, err
	}
	segments, err := s.segments(prefix, false)
	if err == nil && len(segments) == 0 {
		err = artifact.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("blobstore: spool %d of job %q: %w", attempt, job, err)
	}
	return &spoolReader{s: s, segments: segments}, nil
}

// segments returns the keys of the segments of a spool, in order.
func (s *Store) segments(prefix string, unfinished bool) (keys []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), spoolTime)
	defer cancel()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	err = s.list(ctx, &blob.ListOptions{Prefix: prefix}, func(o *blob.ListObject) error {
		if _, _, whole, ok := parseSegment(o.Key); ok && (whole || unfinished) {
			keys = append(keys, o.Key)
		}
		return nil
	})
	if err == nil && len(keys) == 0 {
		err = s.there(ctx)
	}
	return keys, err
}

// spoolReader reads one segment after the other.
type spoolReader struct {
	s        *Store
	segments []string
	data     []byte // of a segment, not read yet
	closed   bool
}

func (r *spoolReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, os.ErrClosed
	}
	for len(r.data) == 0 {
		if len(r.segments) == 0 {
			return 0, io.EOF
		}
		if err := r.fetch(); err != nil {
			return 0, fmt.Errorf("blobstore: read spool: %w", err)
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

func (r *spoolReader) fetch() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), spoolTime)
	defer cancel()
	if r.data, err = r.s.bucket.ReadAll(ctx, r.segments[0]); err != nil {
		if isNotFound(err) {
			return r.s.notFound(ctx)
		}
		return r.s.unavailable(context.Background(), err)
	}
	r.segments = r.segments[1:]
	return nil
}

func (r *spoolReader) Close() error {
	r.closed = true
	return nil
}

// RemoveSpool is the RemoveSpool of [artifact.Spooler].
func (s *Store) RemoveSpool(job string, attempt uint64) error {
	prefix, err := spoolKey(job, attempt)
	if err != nil {
		return err
	}
	segments, err := s.segments(prefix, true)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), spoolTime)
		defer cancel()
		_, err = s.removeObjects(ctx, segments)
	}
	if err != nil {
		return fmt.Errorf("blobstore: remove spool %d of job %q: %w", attempt, job, err)
	}
	return nil
}

// SweepSpools is the SweepSpools of [artifact.Spooler]. It needs no age: a spool is
// begun by an attempt that keep can know of.
func (s *Store) SweepSpools(ctx context.Context, keep func(job string, attempt uint64) (bool, error)) (removed int, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, fmt.Errorf("blobstore: sweep spools: %w", err)
	}
	var failed error
	var last claim
	var segments []string
	settle := func() error {
		c, found := last, segments
		last, segments = claim{}, nil
		if len(found) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		kept, err := keep(c.job, c.run)
		if err != nil {
			return fmt.Errorf("ask whether to keep spool %d of job %s: %w", c.run, c.job, err)
		}
		if kept {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTime)
		defer cancel()
		if _, err := s.removeObjects(ctx, found); err == nil {
			removed++
		} else if failed == nil {
			failed = err
		}
		return nil
	}
	err = s.list(ctx, &blob.ListOptions{Prefix: spoolPrefix}, func(o *blob.ListObject) error {
		job, attempt, _, ok := parseSegment(o.Key)
		if !ok {
			return nil
		}
		if c := (claim{job, attempt}); c != last {
			if err := settle(); err != nil {
				return err
			}
			last = c
		}
		segments = append(segments, o.Key)
		return nil
	})
	if err == nil {
		err = settle()
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return removed, fmt.Errorf("blobstore: sweep spools: %w", err)
	}
	return removed, nil
}
