package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foreman-go/foreman/store"
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
		{"Reopen", raceReopen},
		{"StopAgainstChange", raceStop},
		{"SettleAnything", raceOutbox},
		{"FeedMissesNothing", raceFeed},
	}
}

// besides are the rules, for a place that is open twice: the callers of a race are at
// either store in turn.
func besides(rules []rule) (out []rule) {
	for _, r := range rules {
		out = append(out, rule{r.name, func(f *fixture) {
			f.beside = f.another()
			r.test(f)
		}})
	}
	return out
}

// side is the store that a caller of a race is at.
func (f *fixture) side(i int) store.Store {
	if f.beside != nil && i%2 == 1 {
		return f.beside.Store
	}
	return f.Store
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
		got[i] = result(f.side(i).Insert(f.ctx, []store.Insertion{insertion(heads[i], 1)}))
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
		got[i] = result(f.side(i).Insert(f.ctx, []store.Insertion{in}))
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
		got[i] = result(f.side(i).Apply(f.ctx, []store.Change{c}))
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
		got[i] = result(f.side(i).Apply(f.ctx, []store.Change{c}))
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
			got[i] = result(f.side(i).Apply(f.ctx, []store.Change{c}))
			claims[i], _ = f.side(i).Claim(f.ctx, store.Claim{Worker: "next", Lane: "lane", Limit: 9, Lease: long}, begin)
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
				got[i] = result(f.side(i).Delete(f.ctx, refs(head)))
			} else {
				got[i] = result(f.side(i).Apply(f.ctx, []store.Change{change(head, store.Queued, 1)}))
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
		errs, err := f.side(i).SettleDeliveries(f.ctx, []store.Settlement{s})
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
			r := result(f.side(i).Apply(f.ctx, []store.Change{change(h, store.Queued, 1)}))
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
