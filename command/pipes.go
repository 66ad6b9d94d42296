package command

import (
	"errors"
	"io"
	"os"
	"time"
)

// pipes are those between this process and a program.
type pipes struct{ ours, theirs []*os.File }

// from makes a pipe that the program writes to.
func (p *pipes) from(theirs *io.Writer) (*source, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ours, p.theirs = append(p.ours, r), append(p.theirs, w)
	*theirs = w
	return &source{f: r, left: maxLeft}, nil
}

// to makes a pipe that the program reads from, unless it has nothing to read.
func (p *pipes) to(theirs *io.Reader, data []byte) (*sink, error) {
	if data == nil {
		return &sink{}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ours, p.theirs = append(p.ours, w), append(p.theirs, r)
	*theirs = r
	return &sink{w}, nil
}

// closeTheirs closes the ends of the program, which has its own by now or never will.
func (p *pipes) closeTheirs() {
	closeAll(p.theirs)
	p.theirs = nil
}

func (p *pipes) close() {
	closeAll(p.ours)
	closeAll(p.theirs)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // of a pipe, nothing can be lost
	}
}

// sink is the end of a pipe that the program reads from.
type sink struct{ f *os.File }

// feed writes everything. A program that does not read it all has had what it wanted.
func (s *sink) feed(data []byte) {
	if s.f != nil {
		_, _ = s.f.Write(data)
		s.close()
	}
}

// close ends a feed that nobody reads.
func (s *sink) close() {
	if s.f != nil {
		_ = s.f.Close()
	}
}

const (
	// maxLeft bounds what is read of a pipe after the program has ended, should somebody
	// go on writing to it. No pipe holds more, unless an administrator wills it.
	maxLeft = 16 << 20
	// linger is how long a pipe is read for then where it cannot be told whether it is
	// empty.
	linger = 250 * time.Millisecond
)

// source is the end of a pipe that the program writes to. It ends when every process that
// has the other end is gone, or when the program is and what it has written is read: a
// process that was left behind does not hold it open.
type source struct {
	f     *os.File
	ended bool // the program has; known to the reader alone
	left  int
}

// last says that the program has ended.
func (s *source) last() {
	if s.f.SetReadDeadline(time.Unix(1, 0)) != nil { // wakes the reader
		time.AfterFunc(linger, func() { _ = s.f.Close() })
	}
}

// Read reads what the program has written.
func (s *source) Read(p []byte) (int, error) {
	if !s.ended {
		n, err := s.f.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, ifClosed(err)
		}
		s.ended = true
		if err := s.f.SetReadDeadline(time.Time{}); err != nil {
			return 0, io.EOF
		}
	}
	n, err := readNow(s.f, p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

func ifClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return io.EOF
	}
	return err
}
