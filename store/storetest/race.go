package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/oklog/ulid/v2"
)

// racers is how many callers compete in a race.
const racers = 16

func raceRules() []rule {
	return []rule{
		{"InsertSameKey", raceSameKey},
		{"InsertSameID", raceSameID},
		{"Finish", raceFinish},
		{"TakeExpiredLease", raceReap},
		{"FinishAgainstReaper", raceFinishReap},
		{"DeleteAgainstChange", raceDelete},
		{"Settle", raceSettle},
		{"EveryChangeCounts", raceCounter},
		{"ClaimsAreDisjoint", raceClaims},
		{"ClaimWhileInserting", raceClaimInsert},
		{"DeliveriesAreDisjoint", raceDeliveries},
		{"FeedMissesNothing", raceFeed},
	}
}

// together calls fn with 0 to n-1, all at once, and waits for all. fn must not
// use the assertions of the fixture.
func together(n int, fn func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	all.Wait()
}

// result is the answer to a batch of one.
func result(results []store.Result, err error) store.Result {
	switch {
	case err != nil:
		return store.Result{Err: err}
	case len(results) != 1:
		return store.Result{Err: fmt.Errorf("%d results for one item", len(results))}
	}
	return results[0]
}

// oneWon asserts that all but one of the results have the error, and returns
// the index of the one.
func (f *fixture) oneWon(results []store.Result, others error) int {
	f.t.Helper()
	winner := -1
	for i, r := range results {
		if r.Err == nil {
			f.Equal(-1, winner, "two have won")
			winner = i
			continue
		}
		f.ErrorIs(r.Err, others)
	}
	f.NotEqual(-1, winner, "nobody has won")
	return winner
}

func raceSameKey(f *fixture) {
	heads := make([]store.Head, racers)
	for i := range heads {
		heads[i] = owned("owner", "key", "same")
	}
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		got[i] = result(f.Insert(f.ctx, []store.Insertion{insertion(heads[i], 1)}))
	})
	inserted := 0
	for i, r := range got {
		f.NoError(r.Err)
		f.Equal(got[0].Head.ID, r.Head.ID, "all are told of the same record")
		if !r.Existing {
			inserted++
			f.Equal(heads[i].ID, r.Head.ID)
		}
	}
	f.Equal(1, inserted)
	f.Len(f.list(store.Query{Limit: 100}), 1)
	f.Len(f.feed(store.FeedQuery{Limit: 100}), 1)
}

func raceSameID(f *fixture) {
	head := queued("lane")
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		in := insertion(head, 1)
		in.Head.Owner = fmt.Sprint(i)
		got[i] = result(f.Insert(f.ctx, []store.Insertion{in}))
	})
	f.Equal(fmt.Sprint(f.oneWon(got, store.ErrExists)), f.get(head.ID).Owner)
	f.Len(f.feed(store.FeedQuery{Limit: 100}), 1)
}

func raceFinish(f *fixture) {
	f.add(queued("lane"))
	head := f.claim("lane", 1)[0].Head
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		c := end(head)
		c.Outcome, c.Deliveries = fmt.Append(nil, i), to("endpoint", c.Events)
		got[i] = result(f.Apply(f.ctx, []store.Change{c}))
	})
	winner := f.oneWon(got, store.ErrStale)
	for _, r := range got {
		f.same(got[winner].Head, r.Head)
	}
	f.Equal(fmt.Sprint(winner), string(f.get(head.ID).Outcome))
	f.Len(f.events(head.ID), 3)
	f.Len(f.deliveries(head.ID), 1)
}

func raceReap(f *fixture) {
	f.add(queued("lane"))
	head := f.isOverdue(f.claimFor("lane", 1, "worker", time.Millisecond)[0].ID)
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		c := change(head, store.Queued, 1)
		c.Head.Note = fmt.Append(nil, i)
		got[i] = result(f.Apply(f.ctx, []store.Change{c}))
	})
	f.Equal(fmt.Sprint(f.oneWon(got, store.ErrStale)), string(f.get(head.ID).Note))
	f.Len(f.events(head.ID), 3)
	f.Len(f.claim("lane", 10), 1)
}

// A worker ends its record while others find it overdue, give it back and
// claim it: one of them has it, and the others know.
func raceFinishReap(f *fixture) {
	for range 20 {
		f.add(queued("lane"))
		head := f.isOverdue(f.claimFor("lane", 1, "worker", time.Millisecond)[0].ID)
		got := make([]store.Result, 4)
		claims := make([][]store.Record, 4)
		together(4, func(i int) {
			c := end(head)
			if i > 0 {
				c = change(head, store.Queued, 1)
			}
			got[i] = result(f.Apply(f.ctx, []store.Change{c}))
			claims[i], _ = f.Claim(f.ctx, store.Claim{Worker: "next", Lane: "lane", Limit: 9, Lease: long}, begin)
		})
		claimed := slices.Concat(claims...)
		if f.oneWon(got, store.ErrStale) == 0 {
			f.Empty(claimed)
			f.Equal(done, f.get(head.ID).State)
			continue
		}
		f.Len(claimed, 1)
		f.Nil(f.get(head.ID).Outcome)
		f.apply(end(claimed[0].Head))
	}
}

func raceDelete(f *fixture) {
	for range 20 {
		head := f.apply(end(f.insert(sending("endpoint", 1))[0]))
		got := make([]store.Result, 2)
		together(2, func(i int) {
			if i == 0 {
				got[i] = result(f.Delete(f.ctx, refs(head)))
			} else {
				got[i] = result(f.Apply(f.ctx, []store.Change{change(head, store.Queued, 1)}))
			}
		})
		if got[0].Err == nil {
			f.ErrorIs(got[1].Err, store.ErrNotFound)
			f.gone(head.ID)
			f.Empty(f.claim("lane", 1))
			continue
		}
		f.ErrorIs(got[0].Err, store.ErrStale)
		f.NoError(got[1].Err)
		f.Equal(ids(head), recordIDs(f.claim("lane", 9)))
	}
}

func raceSettle(f *fixture) {
	f.insert(sending("endpoint", 1))
	d := f.send(1)[0]
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		s := settlement(d, []store.DeliveryState{store.Delivered, store.Failed, store.Pending}[i%3])
		s.Log = fmt.Append(nil, i)
		errs, err := f.SettleDeliveries(f.ctx, []store.Settlement{s})
		if err != nil || len(errs) != 1 {
			errs = []error{fmt.Errorf("%d errors for one item: %w", len(errs), err)}
		}
		got[i].Err = errs[0]
	})
	winner := f.oneWon(got, store.ErrStale)
	kept := f.deliveries(d.ID)[0]
	f.Equal(fmt.Sprint(winner), string(kept.Log))
	f.Equal([]store.DeliveryState{store.Delivered, store.Failed, store.Pending}[winner%3], kept.State)
	f.Equal(1, kept.Attempt)
}

// Many callers change one record: as many changes are kept as were confirmed.
func raceCounter(f *fixture) {
	head := f.add(queued("lane"))
	var kept atomic.Uint64
	errs := make([]error, racers)
	together(racers, func(i int) {
		h := head
		for range 20 {
			r := result(f.Apply(f.ctx, []store.Change{change(h, store.Queued, 1)}))
			if h = r.Head; r.Err == nil {
				kept.Add(1)
			} else if h.ID.IsZero() {
				errs[i] = r.Err
				return
			}
		}
	})
	for _, err := range errs {
		f.NoError(err)
	}
	f.GreaterOrEqual(kept.Load(), uint64(20))
	last := f.get(head.ID).Head
	f.Equal(1+kept.Load(), last.Version)
	f.Equal(1+kept.Load(), last.Seq)
	for i, e := range f.events(head.ID) {
		f.EqualValues(i+1, e.Seq)
	}
	f.Len(f.events(head.ID), int(last.Seq))
}

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
			records, err := f.Claim(f.ctx, c, begin)
			if err != nil || len(records) == 0 {
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

func raceClaimInsert(f *fixture) {
	const each = 25
	var ended atomic.Int64
	errs := make([]error, racers)
	together(racers, func(i int) {
		if i%2 == 0 {
			for range each {
				if r := result(f.Insert(f.ctx, []store.Insertion{insertion(queued("lane"), 1)})); r.Err != nil {
					errs[i] = r.Err
					return
				}
			}
			return
		}
		for limit := time.Now().Add(patience); ended.Load() < each*racers/2; {
			records, err := f.Claim(f.ctx, store.Claim{Worker: fmt.Sprint(i), Lane: "lane", Limit: 3, Lease: long}, begin)
			if err != nil || time.Now().After(limit) {
				errs[i] = fmt.Errorf("%d of %d ended: %w", ended.Load(), each*racers/2, err)
				return
			}
			for _, r := range records {
				if r := result(f.Apply(f.ctx, []store.Change{end(r.Head)})); r.Err != nil {
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
			list, err := f.ClaimDeliveries(f.ctx, store.DeliveryClaim{Worker: fmt.Sprint(i), Limit: 5, PerEndpoint: 2, Lease: long})
			if err != nil || time.Now().After(limit) {
				errs[i] = fmt.Errorf("%d of %d settled: %w", settled.Load(), records*each, err)
				return
			}
			for _, d := range list {
				mu.Lock()
				sent[d.ID] = append(sent[d.ID], d.Seq)
				mu.Unlock()
				if e, err := f.SettleDeliveries(f.ctx, []store.Settlement{settlement(d, store.Delivered)}); err != nil || e[0] != nil {
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

// Whoever follows the feed while others write sees every event, in order, and
// never has to look back.
func raceFeed(f *fixture) {
	const each = 20
	var writers sync.WaitGroup
	errs := make([]error, racers/2)
	for i := range errs {
		writers.Go(func() {
			for range each {
				r := result(f.Insert(f.ctx, []store.Insertion{insertion(queued("lane"), 1)}))
				if r.Err == nil {
					r = result(f.Apply(f.ctx, []store.Change{change(r.Head, store.Queued, 2)}))
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
			page, err := f.Feed(f.ctx, store.FeedQuery{After: next, Limit: 7})
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
}
