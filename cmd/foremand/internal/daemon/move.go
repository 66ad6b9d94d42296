package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/foreman-go/foreman"
)

// moves are the commands that move jobs to another store, by way of a file.
var moves = map[string]func(ctx context.Context, f *foreman.Foreman, file string, out io.Writer) error{
	"export": exportTo,
	"import": importFrom,
}

// splitMove takes the command and the file off the arguments, if they begin with one of
// moves.
func splitMove(args []string) (move, file string, rest []string, err error) {
	if len(args) == 0 || moves[args[0]] == nil {
		return "", "", args, nil
	}
	move, rest = args[0], args[1:]
	if slices.Contains(rest, "-h") || slices.Contains(rest, "-help") || slices.Contains(rest, "--help") {
		return move, "", rest, nil
	}
	n := len(rest) - 1
	if n < 0 || rest[n] == "" || strings.HasPrefix(rest[n], "-") {
		return "", "", nil, fmt.Errorf("say which file, after the flags: foremand %s [flags] FILE", move)
	}
	return move, rest[n], rest[:n], nil
}

// runMove opens where jobs are kept, without running any, and moves them.
func runMove(ctx context.Context, c *config, move, file string, stdout, stderr io.Writer) (err error) {
	log := newLogger(c.logFormat, stderr)
	switch {
	case c.dev:
		return &settingError{fmt.Errorf("-dev tries foremand out, and says nothing of where jobs are for %s; leave it out, and give -data or -store", move)}
	case move == "export" && c.store == "": // which opening would make
		if _, err := os.Stat(filepath.Join(c.data, "foreman.db")); err != nil {
			return fmt.Errorf("there are no jobs in %s; give -data or -store as they are given to the foremand that has them: %w", c.data, err)
		}
	}
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
	return moves[move](ctx, f, file, stdout)
}

// exportTo writes an export, which has the name of the file once it is whole.
func exportTo(ctx context.Context, f *foreman.Foreman, file string, out io.Writer) (err error) {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already; give another name, or remove it", file)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.part")
	if err != nil {
		return err
	}
	m, err := f.Export(ctx, tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync() // so that the name is durable too, where directories can be
		_ = dir.Close()
	}
	fmt.Fprintf(out, "exported %s to %s\n", said(&m), file)
	if m.Left > 0 {
		fmt.Fprintf(out, "%d webhooks of deleted jobs are still to be sent and are not in it; to have them sent, start foremand here once more\n", m.Left)
	}
	return nil
}

func importFrom(ctx context.Context, f *foreman.Foreman, file string, out io.Writer) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was read
	m, err := f.Import(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "imported %s from %s; %d of the jobs were there already\n", said(&m), file, m.Existing)
	return nil
}

// said is what was moved, in words.
func said(m *foreman.Moved) string {
	s := fmt.Sprintf("%d jobs, %d events, %d webhooks of which %d are still to be sent, and %d artifacts of %d bytes", m.Jobs, m.Events, m.Deliveries, m.Pending, m.Artifacts, m.Bytes)
	if m.Missing > 0 {
		s += fmt.Sprintf(" (%d more artifacts are not where those of -data or -artifacts are: was the same given to the foremand that had the jobs?)", m.Missing)
	}
	return s
}
