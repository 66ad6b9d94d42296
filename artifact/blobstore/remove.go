package blobstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/foreman-go/foreman/artifact"
)

// Remove is the Remove of [artifact.Store]. It removes up to 16 artifacts at once,
// since an object store may take a while for each.
func (s *Store) Remove(ctx context.Context, keys ...artifact.Key) error {
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("blobstore: remove: %w", err)
	}
	var errs []error
	var objects []string
	for _, k := range keys {
		if err := k.Check(); err != nil {
			errs = append(errs, err)
			continue
		}
		objects = append(objects, objectKey(k))
	}
	removed, failed := s.removeObjects(ctx, objects)
	if failed == nil && removed < len(objects) {
		failed = s.there(ctx) // or is it the bucket that is not?
	}
	if failed != nil {
		errs = append(errs, fmt.Errorf("blobstore: remove: %w", failed))
	}
	return errors.Join(errs...)
}

// removeObjects removes objects, and returns how many of them were there. What
// cannot be removed does not keep the others; the errors are joined, up to ten of
// them.
func (s *Store) removeObjects(ctx context.Context, objects []string) (removed int, err error) {
	const most = 10
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(removals)
	for _, object := range objects {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := s.bucket.Delete(ctx, object)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				removed++
			case !isNotFound(err) && ctx.Err() == nil && len(errs) < most:
				errs = append(errs, fmt.Errorf("object %s: %w", object, s.unavailable(ctx, err)))
			}
			return nil
		})
	}
	_ = group.Wait()
	return removed, errors.Join(append(errs, ctx.Err())...)
}
