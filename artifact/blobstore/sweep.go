package blobstore

import (
	"context"
	"fmt"
	"time"

	"gocloud.dev/blob"
)

// removalTime bounds the removal of what there is of one claim.
const removalTime = 30 * time.Second

// Sweep is the Sweep of [artifact.Store], and safe while other processes put
// artifacts into the same bucket. Everything of a job and run stays for which
// something was put within [Options].SweepAge, an hour, whoever did it. The time is
// the bucket's: Sweep writes the object clock and looks how old it is, so that the
// clock of this machine does not matter. Then keep is asked, and then it removes. (S3
// gives an object that came in parts the time at which it was begun: what takes more
// than an hour to send is protected by the answer of keep alone.)
//
// It reads the list of the bucket in pages of 1,000, and remembers the objects of
// one job and run. What an unfinished upload has left in the object store is not in
// that list: see the package's documentation. What fileblob has left is.
func (s *Store) Sweep(ctx context.Context, keep func(job string, run uint64) (bool, error)) (removed int, err error) {
	w := sweep{s: s, keep: keep}
	if err = s.usable(ctx); err == nil {
		err = w.all(ctx)
	}
	if err == nil {
		err = w.failed
	}
	if err != nil {
		return w.removed, fmt.Errorf("blobstore: sweep: %w", err)
	}
	return w.removed, nil
}

// sweep is one run of Sweep.
type sweep struct {
	s       *Store
	keep    func(job string, run uint64) (bool, error)
	before  time.Time // what was put later stays
	removed int
	failed  error // the first one that the sweep went on after

	// The claim that the list has come to.
	claim   claim
	objects []string
	young   bool
}

func (w *sweep) all(ctx context.Context) error {
	if w.s.sweepAge > 0 {
		now, err := w.s.now(ctx)
		if err != nil {
			return err
		}
		w.before = now.Add(-w.s.sweepAge)
	}
	prefixes := []string{""}
	if w.s.files {
		// fileblob walks the whole directory for each page: let that be small.
		prefixes = nil
		err := w.s.list(ctx, &blob.ListOptions{Delimiter: "/"}, func(o *blob.ListObject) error {
			if o.IsDir {
				prefixes = append(prefixes, o.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, prefix := range prefixes {
		err := w.s.list(ctx, &blob.ListOptions{Prefix: prefix}, func(o *blob.ListObject) error { return w.object(ctx, o) })
		if err == nil {
			err = w.settle(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// object takes one object of the list. Those of a claim come one after the other.
func (w *sweep) object(ctx context.Context, o *blob.ListObject) error {
	k, ok := parseObject(o.Key)
	if !ok {
		return nil
	}
	if c := claimOf(k); c != w.claim {
		if err := w.settle(ctx); err != nil {
			return err
		}
		w.claim = c
	}
	w.objects = append(w.objects, o.Key)
	w.young = w.young || w.s.sweepAge > 0 && o.ModTime.After(w.before)
	return nil
}

// settle removes the objects of a claim that is not to be kept. That no Put of this
// process began since before the question means that the answer is about what is
// there now.
func (w *sweep) settle(ctx context.Context) error {
	c, objects, young := w.claim, w.objects, w.young
	w.claim, w.objects, w.young = claim{}, nil, false
	if len(objects) == 0 || young {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	since, ok := w.s.puts.watch(c)
	if !ok {
		return nil
	}
	defer w.s.puts.unwatch(c)
	keep, err := w.keep(c.job, c.run)
	if err != nil {
		return fmt.Errorf("ask whether to keep job %s run %d: %w", c.job, c.run, err)
	}
	if keep {
		return nil
	}
	w.s.puts.undisturbed(c, since, func() {
		// What was begun is ended, though ctx may have been, if it does not take long.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTime)
		defer cancel()
		var removed int
		removed, err = w.s.removeObjects(ctx, objects)
		w.removed += removed
	})
	if err != nil && w.failed == nil {
		w.failed = err
	}
	return nil
}

// list calls do with every object, in order, page by page.
func (s *Store) list(ctx context.Context, o *blob.ListOptions, do func(*blob.ListObject) error) error {
	tries := 1
	if s.files { // fileblob fails when a file goes while it looks
		tries = 50
	}
	for token := blob.FirstPageToken; len(token) > 0; {
		page, next, err := s.bucket.ListPage(ctx, token, pageSize, o)
		for n := 1; n < tries && isNotFound(err); n++ {
			page, next, err = s.bucket.ListPage(ctx, token, pageSize, o)
		}
		if err != nil {
			return s.unavailable(ctx, err)
		}
		for _, object := range page {
			if err := do(object); err != nil {
				return err
			}
		}
		token = next
	}
	return nil
}
