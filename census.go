package foreman

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/foreman-go/foreman/store"
)

// census is what a store has, as far as it takes to see that it has changed.
type census struct {
	seed    maphash.Seed // the same for those that are compared
	jobs    uint64       // of the versions of all jobs, in any order
	backlog int          // deliveries that are pending
	paused  store.Pause
}

func (c *census) add(h *store.Head) { c.jobs += maphash.Comparable(c.seed, h.Ref()) }

// rest counts what is not of jobs.
func (c *census) rest(ctx context.Context, s store.Store) (err error) {
	if c.paused, err = s.Paused(ctx); err != nil {
		return err
	}
	c.backlog, err = s.Backlog(ctx)
	return err
}

// unchanged makes sure that a store has what it had. Errors: [ErrState] if it has not, and
// those of [fromStore].
func (c *census) unchanged(ctx context.Context, s store.Store) error {
	now := census{seed: c.seed}
	for q := (store.Query{Limit: 1000}); ; {
		page, err := s.List(ctx, q)
		if err != nil {
			return fromStore(err)
		}
		for i := range page.Heads {
			now.add(&page.Heads[i])
		}
		if q.Before = page.Next; q.Before.IsZero() {
			break
		}
	}
	if err := now.rest(ctx, s); err != nil {
		return fromStore(err)
	}
	if now.jobs != c.jobs || now.backlog != c.backlog || now.paused.All != c.paused.All || !slices.Equal(now.paused.Lanes, c.paused.Lanes) {
		return fmt.Errorf("%w: something has changed meanwhile: a process that uses the store was started, or was asked for something: stop them all, and export again", ErrState)
	}
	return nil
}
