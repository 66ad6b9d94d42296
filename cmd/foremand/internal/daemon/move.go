package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/foreman-go/foreman"
)

// moves are the commands that move jobs to another store, by way of a file.
var moves = map[string]func(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error{
	"export": exportTo,
	"import": importFrom,
}

// runMove does what c.move says.
func runMove(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	if c.dev {
		return &settingError{fmt.Errorf("-dev tries foremand out, and says nothing of where jobs are for %s; leave it out, and give -data or -store", c.move)}
	}
	err := moves[c.move](ctx, c, newLogger(c.logFormat, stderr), stdout)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the %s was stopped before its end; make it again: %w", c.move, err)
	}
	return err
}

// withJobs opens where jobs are kept, without running any.
func withJobs(ctx context.Context, c *config, log *slog.Logger, do func(*foreman.Foreman) error) (err error) {
	p, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	o := foreman.Options{Dir: c.data, Logger: log}
	p.in(&o)
	nothing := foreman.BackendFunc(func(context.Context, *foreman.Task) error { return errors.New("nothing runs here") })
	f, err := foreman.New(nothing, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return do(f)
}

// exportTo writes an export, which has the name of the file once it is whole.
func exportTo(ctx context.Context, c *config, log *slog.Logger, out io.Writer) (err error) {
	if c.store == "" { // opening a directory would make it
		switch _, err := os.Stat(filepath.Join(c.data, "foreman.db")); {
		case errors.Is(err, fs.ErrNotExist):
			return &settingError{fmt.Errorf("there are no jobs in %s; give -data or -store as they are given to the foremand that has them: %w", c.data, err)}
		case err != nil:
			return err
		}
	}
	if _, err := os.Lstat(c.archive); err == nil {
		return fmt.Errorf("%s is there already; give another name, or remove it", c.archive)
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.archive), filepath.Base(c.archive)+".*.part")
	if err != nil {
		return err
	}
	var m foreman.Moved
	err = withJobs(ctx, c, log, func(f *foreman.Foreman) (err error) {
		m, err = f.Export(ctx, tmp)
		return err
	})
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), c.archive)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if dir, err := os.Open(filepath.Dir(c.archive)); err == nil {
		_ = dir.Sync() // so that the name is durable too, where directories can be
		_ = dir.Close()
	}
	fmt.Fprintf(out, "exported %s to %s\n", said(&m), c.archive)
	if m.Left > 0 {
		fmt.Fprintf(out, "%d webhooks of deleted jobs are still to be sent and are not in it; to have them sent, start foremand here once more\n", m.Left)
	}
	if m.Missing > 0 {
		return fmt.Errorf("%s lacks %d artifacts, which are not where those of -data or -artifacts are; if the foremand that had the jobs was given another place, remove the file and export again with that; if they are lost, import it as it is", c.archive, m.Missing)
	}
	return nil
}

// importFrom reads an export. It opens the file first, so that nothing is made without it.
func importFrom(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	r, err := os.Open(c.archive)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was read
	var m foreman.Moved
	err = withJobs(ctx, c, log, func(f *foreman.Foreman) (err error) {
		m, err = f.Import(ctx, r)
		return err
	})
	if paused := saidPaused(&m); paused != "" { // also if it has not come to its end
		fmt.Fprintf(out, "paused %s, as where the jobs come from; GET /queue shows it, and POST /queue/resume ends it\n", paused)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "imported %s from %s: added %d jobs and %d artifacts, and %d jobs and %d artifacts were there already\n", said(&m), c.archive,
		m.Jobs-m.Existing, m.Artifacts-m.ExistingArtifacts, m.Existing, m.ExistingArtifacts)
	if m.Missing > 0 {
		fmt.Fprintf(out, "%d more artifacts of these jobs were not found by the export, and are not in it\n", m.Missing)
	}
	return nil
}

// said is what was moved, in words.
func said(m *foreman.Moved) string {
	return fmt.Sprintf("%d jobs, %d events, %d webhooks of which %d are still to be sent, and %d artifacts of %d bytes", m.Jobs, m.Events, m.Deliveries, m.Pending, m.Artifacts, m.Bytes)
}

// saidPaused is what was paused, in words; empty for nothing.
func saidPaused(m *foreman.Moved) string {
	var all []string
	if m.PausedAll {
		all = append(all, "everything")
	}
	if m.PausedLanes > 0 {
		all = append(all, fmt.Sprintf("%d lanes", m.PausedLanes))
	}
	return strings.Join(all, " and ")
}
