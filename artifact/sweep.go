package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Sweep is the Sweep of [Store]. Files that the store has not made stay where
// they are, except in the directory tmp.
func (d *Dir) Sweep(ctx context.Context, keep func(job string, run uint64) (bool, error)) (removed int, err error) {
	s := sweep{dir: d, keep: keep}
	err = s.temps(ctx)
	if err == nil {
		err = s.shards(ctx)
	}
	if err == nil {
		err = s.failed
	}
	if err != nil {
		return s.removed, fmt.Errorf("artifact: sweep: %w", err)
	}
	return s.removed, nil
}

// sweep is one run of Sweep.
type sweep struct {
	dir     *Dir
	keep    func(job string, run uint64) (bool, error)
	removed int
	failed  error // the first one that the sweep went on after
}

// temps removes the temporary files that belong to no Put.
func (s *sweep) temps(ctx context.Context) error {
	for _, name := range s.list(tempDir) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.dir.puts.unused(name, func() { s.remove(path.Join(tempDir, name)) })
	}
	return nil
}

// shards goes through the artifacts, one shard after the other.
func (s *sweep) shards(ctx context.Context) error {
	for _, dir := range s.list(".") {
		if _, ok := shardNumber(dir); !ok {
			continue
		}
		found := map[claim][]string{}
		for _, file := range s.list(dir) {
			if k, ok := ParsePath(path.Join(dir, file)); ok {
				found[k.claim()] = append(found[k.claim()], k.Path())
			}
		}
		for c, files := range found {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.claim(c, files); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim removes the files of a claim that is not to be kept. That no Put began
// since before the question means that the answer is about what is there now.
func (s *sweep) claim(c claim, files []string) error {
	puts := &s.dir.puts
	since, ok := puts.watch(c)
	if !ok {
		return nil
	}
	defer puts.unwatch(c)
	keep, err := s.keep(c.job, c.run)
	if err != nil {
		return fmt.Errorf("ask whether to keep job %s run %d: %w", c.job, c.run, err)
	}
	if keep {
		return nil
	}
	for _, file := range files {
		if !puts.undisturbed(c, since, func() { s.remove(file) }) {
			return nil
		}
	}
	return nil
}

// remove removes a file, unless somebody else just did.
func (s *sweep) remove(file string) {
	switch err := s.dir.root.Remove(file); {
	case err == nil:
		s.removed++
	case !errors.Is(err, fs.ErrNotExist):
		s.fail(err)
	}
}

// list returns the names in a directory.
func (s *sweep) list(dir string) []string {
	names, err := s.dir.list(dir)
	if err != nil {
		s.fail(err)
	}
	return names
}

func (s *sweep) fail(err error) {
	if s.failed == nil {
		s.failed = err
	}
}
