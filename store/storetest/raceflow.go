package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func raceClaims(f *fixture) {
	var batch []store.Insertion
	for i := range 300 {
		batch = append(batch, insertion(ranked(fmt.Sprint("lane ", i%2), int32(i%5)), 1))
	}
	heads := f.insert(batch...)
	got, errs := make([][]store.Record, racers), make([]error, racers)
	together(racers, func(i int) {
		for {
			c := store.Claim{Worker: fmt.Sprint(i), Lane: fmt.Sprint("lane ", i%2), Limit: 1 + i%4, Lease: long}
			records, err := f.side(i/2).Claim(f.ctx, c, begin)
			// One that finds nothing may have met only what another had under way, which
			// may still come back.
			if err != nil || len(records) == 0 && f.empty(c.Lane) {
				errs[i] = err
				return
			}
			got[i] = append(got[i], records...)
		}
	})
	for i := range got {
		f.NoError(errs[i])
		for _, r := range got[i] {
			f.same(r.Head, f.get(r.ID).Head)
			f.Equal(fmt.Sprint(i), r.Worker)
			f.EqualValues(2, r.Version)
		}
	}
	f.ElementsMatch(ids(heads...), recordIDs(slices.Concat(got...)), "every record exactly once")
	f.Empty(f.lanes())
	f.Len(f.feed(store.FeedQuery{Limit: 100}), 2*len(heads))
}

// empty reports whether nothing of a lane is ready; it is for any goroutine.
func (f *fixture) empty(lane string) bool {
	lanes, err := f.Lanes(f.ctx)
	return err == nil && !slices.ContainsFunc(lanes, func(l store.Lane) bool { return l.Name == lane })
}

func raceClaimInsert(f *fixture) {
	const each = 25
	var ended atomic.Int64
	errs := make([]error, racers)
	together(racers, func(i int) {
		if i%2 == 0 {
			for range each {
				if r := result(f.side(i/2).Insert(f.ctx, []store.Insertion{insertion(queued("lane"), 1)})); r.Err != nil {
					errs[i] = r.Err
					return
				}
			}
			return
		}
		for limit := time.Now().Add(patience); ended.Load() < each*racers/2; {
			records, err := f.side(i/2).Claim(f.ctx, store.Claim{Worker: fmt.Sprint(i), Lane: "lane", Limit: 3, Lease: long}, begin)
			if err != nil || time.Now().After(limit) {
				errs[i] = fmt.Errorf("%d of %d ended: %w", ended.Load(), each*racers/2, err)
				return
			}
			for _, r := range records {
				if r := result(f.side(i/2).Apply(f.ctx, []store.Change{end(r.Head)})); r.Err != nil {
					errs[i] = r.Err
					return
				}
				ended.Add(1)
			}
		}
	})
	for _, err := range errs {
		f.NoError(err)
	}
	heads := f.list(store.Query{Limit: 100})
	f.Len(heads, each*racers/2)
	for _, h := range heads {
		f.Equal(done, h.State)
		f.EqualValues(3, h.Version)
		f.Equal(1, h.Attempt)
		f.Equal(outcome(h.ID), f.get(h.ID).Outcome)
	}
	f.Empty(f.lanes())
}

func raceDeliveries(f *fixture) {
	const records, each = 60, 3
	var batch []store.Insertion
	for i := range records {
		batch = append(batch, sending(fmt.Sprint("endpoint ", i%4), each))
	}
	f.insert(batch...)
	var mu sync.Mutex
	sent := map[ulid.ULID][]uint64{}
	var settled atomic.Int64
	errs := make([]error, racers)
	together(racers, func(i int) {
		for limit := time.Now().Add(patience); settled.Load() < records*each; {
			list, err := f.side(i).ClaimDeliveries(f.ctx, store.DeliveryClaim{Worker: fmt.Sprint(i), Limit: 5, PerEndpoint: 2, Lease: long})
			if err != nil || time.Now().After(limit) {
				errs[i] = fmt.Errorf("%d of %d settled: %w", settled.Load(), records*each, err)
				return
			}
			for _, d := range list {
				mu.Lock()
				sent[d.ID] = append(sent[d.ID], d.Seq)
				mu.Unlock()
				// Where two stores are open, it is settled at the other one.
				if e, err := f.side(i+1).SettleDeliveries(f.ctx, []store.Settlement{settlement(d, store.Delivered)}); err != nil || e[0] != nil {
					errs[i] = fmt.Errorf("settle: %v: %w", e, err)
					return
				}
				settled.Add(1)
			}
		}
	})
	for _, err := range errs {
		f.NoError(err)
	}
	f.Len(sent, records)
	for _, seqs := range sent {
		f.Equal([]uint64{1, 2, 3}, seqs, "each once, and in order")
	}
}

// Whoever follows the feed while others write sees every event, in order, also within a
// record, and never has to look back.
func raceFeed(f *fixture) {
	const each = 20
	var writers sync.WaitGroup
	errs := make([]error, racers/2)
	for i := range errs {
		writers.Go(func() {
			for range each {
				r := result(f.side(i).Insert(f.ctx, []store.Insertion{insertion(queued("lane"), 1)}))
				if r.Err == nil {
					r = result(f.side(i+1).Apply(f.ctx, []store.Change{change(r.Head, store.Queued, 2)}))
				}
				if r.Err != nil {
					errs[i] = r.Err
					return
				}
			}
		})
	}
	stopped := make(chan struct{})
	go func() {
		writers.Wait()
		close(stopped)
	}()

	var followed []store.Event
	next, last := uint64(0), false
	f.eventually(func() bool {
		select {
		case <-stopped:
			last = true
		default:
		}
		for {
			page, err := f.side(1).Feed(f.ctx, store.FeedQuery{After: next, Limit: 7})
			f.NoError(err)
			followed = append(followed, page.Events...)
			next = page.Next
			if !page.More {
				return last
			}
		}
	}, "writers to end")
	for _, err := range errs {
		f.NoError(err)
	}
	f.Len(followed, 3*each*len(errs))
	f.Equal(places(f.feed(store.FeedQuery{Limit: 100})), places(followed))
	latest := map[ulid.ULID]uint64{}
	for _, e := range followed {
		f.Equal(latest[e.ID]+1, e.Seq)
		latest[e.ID] = e.Seq
	}
}
