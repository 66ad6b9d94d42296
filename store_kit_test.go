package foreman_test

import (
	"context"
	"sync"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// spied is a store that tells of calls, and lets them wait. Those that are nil it does
// not tell of.
type spied struct {
	store.Store
	got      func(context.Context, ulid.ULID) error // after Get, which fails if it does
	changing func([]store.Change)                   // before Apply
	changed  func([]store.Change) error             // after Apply, which fails if it does
	reading  func()                                 // before Events
	overdue  func()                                 // before Overdue
	lanes    func()                                 // before Lanes
	claiming func()                                 // before Claim
	settling func()                                 // before SettleDeliveries
}

func (s *spied) Get(ctx context.Context, id ulid.ULID) (store.Record, error) {
	r, err := s.Store.Get(ctx, id)
	if err == nil && s.got != nil {
		err = s.got(ctx, id)
	}
	return r, err
}

func (s *spied) Apply(ctx context.Context, changes []store.Change) ([]store.Result, error) {
	if s.changing != nil {
		s.changing(changes)
	}
	results, err := s.Store.Apply(ctx, changes)
	if err == nil && s.changed != nil {
		err = s.changed(changes)
	}
	return results, err
}

func (s *spied) Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]store.Event, error) {
	if s.reading != nil {
		s.reading()
	}
	return s.Store.Events(ctx, id, after, limit)
}

func (s *spied) Overdue(ctx context.Context, limit int) ([]store.Head, error) {
	if s.overdue != nil {
		s.overdue()
	}
	return s.Store.Overdue(ctx, limit)
}

func (s *spied) Lanes(ctx context.Context) ([]store.Lane, error) {
	if s.lanes != nil {
		s.lanes()
	}
	return s.Store.Lanes(ctx)
}

func (s *spied) Claim(ctx context.Context, c store.Claim, change func(store.Record) store.Change) ([]store.Record, error) {
	if s.claiming != nil {
		s.claiming()
	}
	return s.Store.Claim(ctx, c, change)
}

func (s *spied) SettleDeliveries(ctx context.Context, in []store.Settlement) ([]error, error) {
	if s.settling != nil {
		s.settling()
	}
	return s.Store.SettleDeliveries(ctx, in)
}

// latch is a channel to wait at, and what opens it, once: at the latest when the test
// gives up, so that its Foreman can end.
func latch() (shut <-chan struct{}, open func()) {
	c := make(chan struct{})
	return c, sync.OnceFunc(func() { close(c) })
}
