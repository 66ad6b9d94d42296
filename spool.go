package foreman

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
)

// spool keeps what a task writes, for the artifact partial, and most of it in a file
// that is there when the process dies. Nothing is written to the disk by whoever writes
// output, and nothing at all before there is some: an attempt that ends well within a
// second has no file.
type spool struct {
	to      artifact.Spooler // nil if nothing is kept
	job     ulid.ULID
	attempt uint64 // the number of the change of state that began it
	limit   int    // in bytes; what is beyond is not kept

	mu      sync.Mutex
	size    int    // how much has been kept
	pending []byte // the end of it, not in the file yet
	spare   []byte // the next pending
	timer   *time.Timer
	waiting bool // for the timer
	hurried bool // it was told not to wait
	over    bool

	flushes sync.WaitGroup // under way or waiting
	file    sync.Mutex     // held while the file is written, before mu
	w       io.WriteCloser // nil before the first flush
	failed  error
}

const (
	// maxPartial bounds the artifact partial, and so the spool and the memory of one
	// whose disk stands still.
	maxPartial = 16 << 20
	// The file is at most so much behind: what a kill -9 may cost.
	spoolDelay = time.Second
	spoolBatch = 64 << 10
)

// write keeps a piece of output. It never waits for the disk.
func (s *spool) write(p []byte) {
	if s.to == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p = p[:min(len(p), s.limit-s.size)]
	if s.over || len(p) == 0 {
		return
	}
	s.size += len(p)
	s.pending = append(s.pending, p...)
	switch {
	case len(s.pending) >= spoolBatch && !s.hurried:
		s.hurried = true
		s.flushIn(0)
	case !s.waiting:
		s.flushIn(spoolDelay)
	}
	s.waiting = true
}

// flushIn has the file written after a time. mu is held.
func (s *spool) flushIn(d time.Duration) {
	if s.timer == nil {
		s.flushes.Add(1)
		s.timer = time.AfterFunc(d, s.flush)
	} else if !s.timer.Reset(d) {
		s.flushes.Add(1)
	}
}

// flush writes to the file what is pending. After a fault the file is left with what it
// has, and nothing more is kept.
func (s *spool) flush() {
	defer s.flushes.Done()
	s.file.Lock()
	defer s.file.Unlock()
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	p := s.pending
	s.pending, s.spare = s.spare[:0], nil
	s.waiting, s.hurried = false, false
	s.mu.Unlock()
	var err error
	if s.w == nil {
		s.w, err = s.to.CreateSpool(s.job.String(), s.attempt)
	}
	if err == nil {
		_, err = s.w.Write(p)
	} else {
		s.w = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare = p
	if err != nil {
		s.failed, s.over, s.pending = err, true, nil
	}
}

// end stops keeping, and waits until the file is written no more. It returns the fault
// that there was.
func (s *spool) end() error {
	if s.to == nil {
		return nil
	}
	s.mu.Lock()
	s.over = true
	if s.timer != nil && s.timer.Stop() {
		s.flushes.Done()
	}
	s.mu.Unlock()
	s.flushes.Wait()
	if s.w == nil {
		return s.failed
	}
	return errors.Join(s.failed, s.w.Close())
}

// empty reports whether nothing has been kept, after end.
func (s *spool) empty() bool { return s.w == nil && len(s.pending) == 0 }

// read returns what has been kept, after end.
func (s *spool) read() (io.ReadCloser, error) {
	if s.w == nil {
		return io.NopCloser(bytes.NewReader(s.pending)), nil
	}
	file, err := s.to.OpenSpool(s.job.String(), s.attempt)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(file, bytes.NewReader(s.pending)), file}, nil
}

// isUnused reports whether there is no file, after end.
func (s *spool) isUnused() bool { return s.w == nil }

// remove removes the file, after end.
func (s *spool) remove() error {
	if s.isUnused() {
		return nil
	}
	return s.to.RemoveSpool(s.job.String(), s.attempt)
}
