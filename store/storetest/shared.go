package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// sharedRules are those of a place that is open more than once at a time.
func sharedRules() []rule {
	return []rule{
		{"SeesEachOther", sharedSees},
		{"OpeningEndsNoLease", sharedLeases},
		{"Fence", sharedFence},
		{"EveryChangeCounts", sharedCounter},
		{"NothingIsPassedOver", sharedFlow},
		{"Pause", sharedPause},
		{"Turns", sharedTurns},
		{"CloseOne", sharedClose},
	}
}

// another opens the place of the fixture once more.
func (f *fixture) another() *fixture {
	f.t.Helper()
	g := &fixture{Assertions: f.Assertions, t: f.t, h: f.h, place: f.place, ctx: f.ctx}
	g.open()
	f.t.Cleanup(func() { g.NoError(g.Close()) })
	return g
}

func sharedSees(f *fixture) {
	g := f.another()
	gone := f.populate()
	before := f.observe(gone...)
	f.Equal(before, g.observe(gone...))
	g.resume(everything)
	for lane, n := range g.ready() {
		if lane != "" && lane != "ab" {
			g.NotEmpty(g.claim(lane, n), "%q", lane)
		}
	}
	f.Equal(g.observe(gone...), f.observe(gone...))
}

// The process that holds a lease lives, whoever opens the place.
func sharedLeases(f *fixture) {
	f.insert(sending("endpoint", 1))
	d := f.send(1)[0]
	h := f.claim("lane", 1)[0].Head
	g := f.another()
	f.same(h, g.get(h.ID).Head)
	g.Empty(g.overdue(10))
	g.Empty(g.send(10))
	g.Empty(g.claim("lane", 10))
	h = f.extend(h, 2*long).Head
	f.same(h, g.get(h.ID).Head)
	f.settle(store.Delivered, d)
	f.apply(end(h))

	// When it has died, they run out.
	f.insert(sending("endpoint", 1))
	f.sendAs(store.DeliveryClaim{Limit: 1, Lease: brief})
	h = f.claimFor("lane", 1, "dead", brief)[0].Head
	g.apply(change(g.isOverdue(h.ID), store.Queued, 1))
	g.Equal([]ulid.ULID{h.ID}, recordIDs(g.claim("lane", 10)))
	g.eventually(func() bool { return len(g.send(10)) == 1 }, "the delivery to be taken over")
}

func sharedFence(f *fixture) {
	g := f.another()
	f.beside = g
	f.add(queued("lane"))
	slow := f.claimFor("lane", 1, "slow", brief)[0].Head
	g.apply(change(g.isOverdue(slow.ID), store.Queued, 1))
	quick := g.claimFor("lane", 1, "quick", long)[0].Head
	for _, c := range []store.Change{end(slow), change(slow, store.Queued, 1), change(slow, store.Working, 1)} {
		r := f.try(c)
		f.ErrorIs(r.Err, store.ErrStale)
		f.same(quick, r.Head)
	}
	f.ErrorIs(f.extend(slow, long).Err, store.ErrStale)
	g.apply(end(quick))

	for range 10 { // and when both are at it at once
		f.add(queued("lane"))
		h := f.claim("lane", 1)[0].Head
		got := make([]store.Result, racers)
		together(racers, func(i int) {
			c := end(h)
			c.Outcome, c.Deliveries = fmt.Append(nil, i), to("endpoint", c.Events)
			got[i] = result(f.side(i).Apply(f.ctx, []store.Change{c}))
		})
		winner := f.oneWon(got, store.ErrStale)
		f.Equal(fmt.Sprint(winner), string(g.get(h.ID).Outcome))
		f.Len(g.events(h.ID), 3)
		f.Len(f.deliveries(h.ID), 1)
	}
}

// Batches name the same records in different orders.
func sharedCounter(f *fixture) {
	g := f.another()
	f.beside = g
	const each, rounds = 8, 15
	var batch []store.Insertion
	for range each {
		batch = append(batch, sending("endpoint", 1))
	}
	heads := f.insert(batch...)
	var kept [each]atomic.Uint64
	errs := make([]error, racers)
	together(racers, func(i int) {
		latest := slices.Clone(heads)
		for n := range rounds {
			var changes []store.Change
			for j := range latest {
				h := latest[(i+j*(1+2*(i%2))+n)%each]
				c := change(h, store.Queued, 1)
				c.Deliveries = to("endpoint", c.Events)
				changes = append(changes, c)
			}
			results, err := f.side(i).Apply(f.ctx, changes)
			if err != nil {
				errs[i] = err
				return
			}
			for j, r := range results {
				at := slices.IndexFunc(latest, func(h store.Head) bool { return h.ID == changes[j].Head.ID })
				latest[at] = r.Head
				if r.Err == nil {
					kept[at].Add(1)
				}
			}
		}
	})
	pending := 0
	for i := range errs {
		f.NoError(errs[i])
	}
	for i, h := range heads {
		last := g.get(h.ID).Head
		f.Equal(1+kept[i].Load(), last.Version)
		f.Len(f.events(h.ID), int(last.Seq))
		f.Len(f.deliveries(h.ID), int(last.Seq))
		pending += int(last.Seq)
	}
	f.Equal(pending, f.backlog())
	f.Equal(map[string]int{"lane": each}, g.ready())
}

// Records come, are claimed, given back and ended on both sides: each is found.
func sharedFlow(f *fixture) {
	g := f.another()
	f.beside = g
	const each = 20
	var ended atomic.Int64
	errs := make([]error, racers)
	together(racers, func(i int) {
		s := f.side(i)
		if i%4 < 2 {
			for n := range each {
				h := by(fmt.Sprint("owner ", n%3))
				if n%5 == 0 {
					h.RunAt = now().Add(brief)
				}
				if r := result(s.Insert(f.ctx, []store.Insertion{insertion(h, 1)})); r.Err != nil {
					errs[i] = r.Err
					return
				}
			}
			return
		}
		for limit := time.Now().Add(3 * patience); ended.Load() < each*racers/2; {
			records, err := s.Claim(f.ctx, store.Claim{Worker: fmt.Sprint(i), Lane: "lane", Limit: 3, Lease: long}, begin)
			if err != nil || time.Now().After(limit) {
				errs[i] = fmt.Errorf("%d of %d ended: %w", ended.Load(), each*racers/2, err)
				return
			}
			for _, r := range records {
				c := end(r.Head)
				if r.Attempt == 1 && r.ID[15]%3 == 0 {
					c = change(r.Head, store.Queued, 1)
				} else {
					ended.Add(1)
				}
				if r := result(s.Apply(f.ctx, []store.Change{c})); r.Err != nil {
					errs[i] = r.Err
					return
				}
			}
		}
	})
	for _, err := range errs {
		f.NoError(err)
	}
	f.Len(g.list(store.Query{State: done, Limit: 100}), each*racers/2)
	f.Empty(g.lanes())
}

func sharedPause(f *fixture) {
	g := f.another()
	f.add(queued("lane"))
	f.pause(named("lane"))
	g.Equal(named("lane"), g.paused())
	g.Empty(g.claim("lane", 1))
	g.resume(named("lane"))
	g.pause(everything)
	f.Empty(f.claim("lane", 1))
	f.resume(everything)
	g.Len(g.claim("lane", 1), 1)
}

// Calls that do not overlap are in order, whoever makes them.
func sharedTurns(f *fixture) {
	g := f.another()
	f.script("aaa")
	g.script("bb")
	f.Equal("ab", f.owners(2))
	g.script("c")
	f.script("B")
	g.Equal("babca", g.owners(10))
}

// Closing one leaves the other as it was.
func sharedClose(f *fixture) {
	g := &fixture{Assertions: f.Assertions, t: f.t, h: f.h, place: f.place, ctx: f.ctx}
	g.open()
	g.add(queued("lane"))
	h := g.claim("lane", 1)[0].Head
	g.NoError(g.Close())
	f.Empty(f.overdue(10))
	f.Empty(f.claim("lane", 10))
	f.apply(end(h))
}
