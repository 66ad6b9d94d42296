package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/foreman-go/foreman/store"
)

func callRules() []rule {
	return []rule{
		{"Closed", callsClosed},
		{"CloseUnderLoad", callsCloseUnderLoad},
		{"ContextEnded", callsContextEnded},
	}
}

// calls is one call of every method, on a record that exists.
func (f *fixture) calls() map[string]func(ctx context.Context) error {
	f.t.Helper()
	h := f.insert(sending("endpoint", 1))[0]
	s := f.Store
	return map[string]func(ctx context.Context) error{
		"Insert": func(ctx context.Context) error {
			_, err := s.Insert(ctx, []store.Insertion{insertion(queued("lane"), 1)})
			return err
		},
		"Get":    func(ctx context.Context) error { _, err := s.Get(ctx, h.ID); return err },
		"List":   func(ctx context.Context) error { _, err := s.List(ctx, store.Query{Limit: 9}); return err },
		"Apply":  func(ctx context.Context) error { _, err := s.Apply(ctx, []store.Change{end(h)}); return err },
		"Delete": func(ctx context.Context) error { _, err := s.Delete(ctx, refs(h)); return err },
		"Events": func(ctx context.Context) error { _, err := s.Events(ctx, h.ID, 0, 9); return err },
		"Feed":   func(ctx context.Context) error { _, err := s.Feed(ctx, store.FeedQuery{Limit: 9}); return err },
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, store.Claim{Worker: "w", Lane: "lane", Limit: 1, Lease: long}, begin)
			return err
		},
		"Extend":   func(ctx context.Context) error { _, err := s.Extend(ctx, refs(h), long); return err },
		"Lanes":    func(ctx context.Context) error { _, err := s.Lanes(ctx); return err },
		"Position": func(ctx context.Context) error { _, _, err := s.Position(ctx, h.ID, 9); return err },
		"Overdue":  func(ctx context.Context) error { _, err := s.Overdue(ctx, 9); return err },
		"Upcoming": func(ctx context.Context) error { _, err := s.Upcoming(ctx); return err },
		"ClaimDeliveries": func(ctx context.Context) error {
			_, err := s.ClaimDeliveries(ctx, store.DeliveryClaim{Worker: "w", Limit: 1, Lease: long})
			return err
		},
		"SettleDeliveries": func(ctx context.Context) error {
			_, err := s.SettleDeliveries(ctx, []store.Settlement{{ID: h.ID, Seq: 1, State: store.Delivered}})
			return err
		},
		"Deliveries": func(ctx context.Context) error { _, err := s.Deliveries(ctx, h.ID); return err },
	}
}

func callsClosed(f *fixture) {
	calls := f.calls()
	f.NoError(f.Close())
	for range 2 {
		for name, call := range calls {
			f.ErrorIs(call(f.ctx), store.ErrClosed, name)
		}
		f.NoError(f.Close(), "closing twice is not an error")
	}
}

// Close lets every write that is on its way end: each caller is told whether
// its record is kept, and that is the truth.
func callsCloseUnderLoad(f *fixture) {
	heads := make([][]store.Head, racers)
	errs := make([]error, racers)
	var inserted atomic.Int64
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		together(racers, func(i int) {
			for errs[i] == nil {
				r := result(f.Insert(f.ctx, []store.Insertion{insertion(queued(fmt.Sprint("lane ", i)), 1)}))
				if errs[i] = r.Err; r.Err == nil {
					heads[i] = append(heads[i], r.Head)
					inserted.Add(1)
				}
			}
		})
	}()
	f.eventually(func() bool { return inserted.Load() >= 5*racers }, "insertions")
	f.NoError(f.Close())
	<-stopped
	for _, err := range errs {
		f.ErrorIs(err, store.ErrClosed)
	}
	if f.h.Volatile {
		return
	}
	f.open()
	for i := range heads {
		got := recordIDs(f.claim(fmt.Sprint("lane ", i), 100_000))
		f.Equal(ids(heads[i]...), got, "what was confirmed, and nothing else")
	}
}

func callsContextEnded(f *fixture) {
	canceled, cancel := context.WithCancel(f.ctx)
	cancel()
	late, cancel := context.WithDeadline(f.ctx, time.Now().Add(-time.Hour))
	defer cancel()
	calls := f.calls()
	for name, call := range calls {
		f.ErrorIs(call(canceled), context.Canceled, name)
		f.ErrorIs(call(late), context.DeadlineExceeded, name)
	}
	f.NoError(calls["Insert"](f.ctx), "the store itself is well")
	f.NoError(calls["Lanes"](f.ctx))
}
