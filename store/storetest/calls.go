package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func callRules() []rule {
	return []rule{
		{"Closed", callsClosed},
		{"CloseUnderLoad", callsCloseUnderLoad},
		{"ContextEnded", callsContextEnded},
		{"ContextEndsUnderLoad", callsCancelUnderLoad},
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
		"Pause":    func(ctx context.Context) error { return s.Pause(ctx, named("another")) },
		"Resume":   func(ctx context.Context) error { return s.Resume(ctx, named("another")) },
		"Paused":   func(ctx context.Context) error { _, err := s.Paused(ctx); return err },
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
		"Backlog":    func(ctx context.Context) error { _, err := s.Backlog(ctx); return err },
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
			for limit := time.Now().Add(patience); errs[i] == nil && time.Now().Before(limit); {
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
		f.ElementsMatch(ids(heads[i]...), got, "what was confirmed, and nothing else")
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

// Callers whose context ends while they wait are told so, and hold up nobody.
// What was confirmed is kept; what was not may be kept, but not in part.
func callsCancelUnderLoad(f *fixture) {
	const each = 40
	var kept, open [racers][]ulid.ULID
	var errs [racers]error
	together(racers, func(i int) {
		for n := range each {
			ctx, cancel := context.WithTimeout(f.ctx, time.Duration(n*i)*10*time.Microsecond)
			in := sending("endpoint", 1)
			r := result(f.Insert(ctx, []store.Insertion{in}))
			cancel()
			switch {
			case r.Err == nil:
				kept[i] = append(kept[i], in.Head.ID)
			case errors.Is(r.Err, context.DeadlineExceeded):
				open[i] = append(open[i], in.Head.ID)
			default:
				errs[i] = r.Err
				return
			}
		}
	})
	for _, err := range errs {
		f.NoError(err)
	}
	if !f.h.Volatile {
		f.reopen() // when it is closed, what was on its way has ended
	}
	last := f.insert(sending("endpoint", 1))[0]
	there := map[ulid.ULID]bool{}
	for _, id := range ids(f.list(store.Query{Limit: 100})...) {
		there[id] = true
		f.Len(f.events(id), 1)
		f.Len(f.deliveries(id), 1)
	}
	f.True(there[last.ID], "the store itself is well")
	f.LessOrEqual(len(there), racers*each+1)
	for i := range racers {
		for _, id := range kept[i] {
			f.True(there[id], "confirmed, but not there")
		}
		for _, id := range open[i] {
			if !there[id] {
				f.gone(id)
				f.Empty(f.events(id))
				f.Empty(f.deliveries(id))
			}
		}
	}
	f.Equal(map[string]int{"lane": len(there)}, f.ready())
}
