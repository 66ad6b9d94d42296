package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// Spooler is implemented by a [Store] that can also keep what an attempt at a job
// writes bit by bit, so that it is there when the process dies. That is all a spool is
// for: what is written to it survives the death of the process, and need not survive a
// loss of power. It becomes an artifact, or is removed, when the attempt is over.
//
// A spool is known by the job, in the form of [Key.Job], and a number that no other
// attempt at this job has. Every method is safe for concurrent use, and returns
// [ErrName] for a job that cannot be one.
type Spooler interface {
	// CreateSpool begins a spool, empty; one that is there already is an error that is
	// [os.ErrExist]. The caller writes to it from one goroutine at a time, and closes
	// it. What is written is kept when Write returns. Each Write may cost a request to a
	// server: whoever has much to write in small pieces gathers them first.
	CreateSpool(job string, attempt uint64) (io.WriteCloser, error)
	// OpenSpool returns what has been written so far; the caller closes it. If there
	// is no such spool, it returns [ErrNotFound].
	OpenSpool(job string, attempt uint64) (io.ReadCloser, error)
	// RemoveSpool removes a spool. One that is not there is not an error.
	RemoveSpool(job string, attempt uint64) error
	// SweepSpools asks keep about every spool that it finds, and removes those for
	// which keep says false. It returns how many it removed. When keep returns an
	// error, it stops and returns that, wrapped; when something cannot be removed, it
	// goes on, and returns the first such error.
	SweepSpools(ctx context.Context, keep func(job string, attempt uint64) (bool, error)) (removed int, err error)
}

// spoolDir holds the spools of attempts under way, each in a file <job>-<attempt>.
const spoolDir = "spool"

// spoolFile is the path of a spool.
func spoolFile(job string, attempt uint64) (string, error) {
	if err := CheckJob(job); err != nil {
		return "", err
	}
	return path.Join(spoolDir, job+"-"+strconv.FormatUint(attempt, 10)), nil
}

// parseSpool reads the name of a spool's file; ok is false for one that no store has
// made.
func parseSpool(name string) (job string, attempt uint64, ok bool) {
	job, number, _ := strings.Cut(name, "-")
	attempt, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return "", 0, false
	}
	file, err := spoolFile(job, attempt)
	return job, attempt, err == nil && file == path.Join(spoolDir, name)
}

// CreateSpool is the CreateSpool of [Spooler].
func (d *Dir) CreateSpool(job string, attempt uint64) (io.WriteCloser, error) {
	file, err := spoolFile(job, attempt)
	if err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("artifact: create spool: %w", err)
	}
	return f, nil
}

// OpenSpool is the OpenSpool of [Spooler].
func (d *Dir) OpenSpool(job string, attempt uint64) (io.ReadCloser, error) {
	file, err := spoolFile(job, attempt)
	if err != nil {
		return nil, err
	}
	f, err := d.root.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("artifact: spool %d of job %q: %w", attempt, job, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: open spool: %w", err)
	}
	return f, nil
}

// RemoveSpool is the RemoveSpool of [Spooler].
func (d *Dir) RemoveSpool(job string, attempt uint64) error {
	file, err := spoolFile(job, attempt)
	if err != nil {
		return err
	}
	if err := d.root.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("artifact: remove spool: %w", err)
	}
	return nil
}

// SweepSpools is the SweepSpools of [Spooler]. Files that the store has not made stay
// where they are.
func (d *Dir) SweepSpools(ctx context.Context, keep func(job string, attempt uint64) (bool, error)) (removed int, err error) {
	s := sweep{dir: d}
	for _, name := range s.list(spoolDir) {
		job, attempt, ok := parseSpool(name)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return s.removed, err
		}
		kept, err := keep(job, attempt)
		if err != nil {
			return s.removed, fmt.Errorf("artifact: ask whether to keep spool %s: %w", name, err)
		}
		if !kept {
			s.remove(path.Join(spoolDir, name))
		}
	}
	if s.failed != nil {
		return s.removed, fmt.Errorf("artifact: sweep spools: %w", s.failed)
	}
	return s.removed, nil
}
