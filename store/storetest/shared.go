package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
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
		{"SameKey", sharedKey},
		{"SameID", sharedID},
		{"EveryChangeCounts", sharedCounter},
		{"ClaimsAreDisjoint", sharedClaims},
		{"NothingIsPassedOver", sharedFlow},
		{"DeliveriesAreDisjoint", sharedDeliveries},
		{"StopAgainstChange", sharedStop},
		{"FeedMissesNothing", sharedFeed},
		{"Pause", sharedPause},
		{"Turns", sharedTurns},
		{"CloseOne", sharedClose},
		{"Now", sharedNow},
		{"Hold", sharedHold},
		{"HoldAtOnce", sharedHoldAtOnce},
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
			got[i] = result(pick2(f, g, i).Apply(f.ctx, []store.Change{c}))
		})
		winner := f.oneWon(got, store.ErrStale)
		f.Equal(fmt.Sprint(winner), string(g.get(h.ID).Outcome))
		f.Len(g.events(h.ID), 3)
		f.Len(f.deliveries(h.ID), 1)
	}
}

// pick2 takes the first for even numbers, and the second for odd ones.
func pick2(f, g *fixture, i int) store.Store {
	if i%2 == 0 {
		return f.Store
	}
	return g.Store
}

func sharedKey(f *fixture) {
	g := f.another()
	for n := range 20 {
		got := make([]store.Result, racers)
		heads := make([]store.Head, racers)
		for i := range heads {
			heads[i] = owned("owner", fmt.Sprint("key ", n), "same")
		}
		together(racers, func(i int) {
			got[i] = result(pick2(f, g, i).Insert(f.ctx, []store.Insertion{sending("other", 1), insertion(heads[i], 1)}[1:]))
		})
		inserted := 0
		for _, r := range got {
			f.NoError(r.Err)
			f.Equal(got[0].Head.ID, r.Head.ID)
			if !r.Existing {
				inserted++
			}
		}
		f.Equal(1, inserted)
		f.Len(f.list(store.Query{Limit: 100}), n+1)
		f.Equal(n+1, g.ready()["lane"])
	}
}

func sharedID(f *fixture) {
	g := f.another()
	head := queued("lane")
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		in := insertion(head, 1)
		in.Head.Owner = fmt.Sprint(i)
		got[i] = result(pick2(f, g, i).Insert(f.ctx, []store.Insertion{in}))
	})
	f.Equal(fmt.Sprint(f.oneWon(got, store.ErrExists)), g.get(head.ID).Owner)
	f.Equal(map[string]int{"lane": 1}, g.ready())
}

// Batches name the same records in different orders.
func sharedCounter(f *fixture) {
	g := f.another()
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
			results, err := pick2(f, g, i).Apply(f.ctx, changes)
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

func sharedClaims(f *fixture) {
	g := f.another()
	var batch []store.Insertion
	for i := range 400 {
		batch = append(batch, insertion(ranked(fmt.Sprint("lane ", i%2), int32(i%3)), 1))
	}
	heads := f.insert(batch...)
	got, errs := make([][]store.Record, racers), make([]error, racers)
	together(racers, func(i int) {
		for {
			c := store.Claim{Worker: fmt.Sprint(i), Lane: fmt.Sprint("lane ", i/2%2), Limit: 1 + i%4, Lease: long}
			records, err := pick2(f, g, i).Claim(f.ctx, c, begin)
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
			f.same(r.Head, g.get(r.ID).Head)
			f.Equal(fmt.Sprint(i), r.Worker)
		}
	}
	f.ElementsMatch(ids(heads...), recordIDs(slices.Concat(got...)), "every record exactly once")
	f.Empty(f.lanes())
	f.Empty(g.lanes())
}

// empty reports whether nothing of a lane is ready; it is for any goroutine.
func (f *fixture) empty(lane string) bool {
	lanes, err := f.Lanes(f.ctx)
	return err == nil && !slices.ContainsFunc(lanes, func(l store.Lane) bool { return l.Name == lane })
}

// Records come, are claimed, given back and ended on both sides: each is found.
func sharedFlow(f *fixture) {
	g := f.another()
	const each = 20
	var ended atomic.Int64
	errs := make([]error, racers)
	together(racers, func(i int) {
		s := pick2(f, g, i)
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

func sharedDeliveries(f *fixture) {
	g := f.another()
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
		s := pick2(f, g, i)
		for limit := time.Now().Add(3 * patience); settled.Load() < records*each; {
			list, err := s.ClaimDeliveries(f.ctx, store.DeliveryClaim{Worker: fmt.Sprint(i), Limit: 5, PerEndpoint: 2, Lease: long})
			if err != nil || time.Now().After(limit) {
				errs[i] = fmt.Errorf("%d of %d settled: %w", settled.Load(), records*each, err)
				return
			}
			for _, d := range list {
				mu.Lock()
				sent[d.ID] = append(sent[d.ID], d.Seq)
				mu.Unlock()
				// It is settled on the other side.
				if e, err := pick2(g, f, i).SettleDeliveries(f.ctx, []store.Settlement{settlement(d, store.Delivered)}); err != nil || e[0] != nil {
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
	for _, seqs := range sent {
		f.Equal([]uint64{1, 2, 3}, seqs, "each once, and in order")
	}
	f.Len(sent, records)
	f.Zero(g.backlog())
}

func sharedStop(f *fixture) {
	g := f.another()
	for range 20 {
		head := f.insert(sending("endpoint", 2))[0]
		d := f.next(1)
		errs := make([]error, 2)
		together(2, func(i int) {
			if i == 0 {
				e, err := f.SettleDeliveries(f.ctx, []store.Settlement{settlement(d, store.Stopped)})
				errs[i] = err
				if err == nil {
					errs[i] = e[0]
				}
				return
			}
			c := change(head, store.Queued, 1)
			c.Deliveries = to("endpoint", c.Events)
			errs[i] = result(g.Apply(f.ctx, []store.Change{c})).Err
		})
		f.NoError(errs[0])
		f.NoError(errs[1])
		f.Equal([]store.DeliveryState{store.Stopped, store.Stopped, store.Stopped}, f.states(head))
		f.Zero(g.backlog())
		g.next(0)
	}
}

// Whoever follows the feed on one side while both write sees every event once, in order
// within a record, and never has to look back.
func sharedFeed(f *fixture) {
	g := f.another()
	const each = 25
	var writers sync.WaitGroup
	errs := make([]error, racers/2)
	for i := range errs {
		writers.Go(func() {
			for range each {
				r := result(pick2(f, g, i).Insert(f.ctx, []store.Insertion{insertion(queued("lane"), 1)}))
				if r.Err == nil {
					r = result(pick2(g, f, i).Apply(f.ctx, []store.Change{change(r.Head, store.Queued, 2)}))
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
			page, err := g.Feed(f.ctx, store.FeedQuery{After: next, Limit: 7})
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

// shared is the store of a fixture as one that is shared.
func (f *fixture) shared() store.Shared {
	f.t.Helper()
	s, ok := f.Store.(store.Shared)
	f.True(ok, "a store whose place can be open more than once is a store.Shared")
	return s
}

// The suite takes the store's clock to be within a second of its own.
func sharedNow(f *fixture) {
	last := time.Time{}
	for range 10 {
		f.add(queued("lane"))
		t := f.shared().Now()
		f.WithinDuration(time.Now(), t, time.Second)
		f.False(t.Before(last))
		f.Equal(time.UTC, t.Location())
		last = t
	}
	f.WithinDuration(f.another().shared().Now(), f.shared().Now(), time.Second)
}

func (f *fixture) hold(office, holder string, lease time.Duration) bool {
	f.t.Helper()
	ok, err := f.shared().Hold(f.ctx, office, holder, lease)
	f.NoError(err)
	return ok
}

func sharedHold(f *fixture) {
	g := f.another()
	f.True(f.hold("a", "ann", long))
	f.False(g.hold("a", "bob", long))
	f.True(g.hold("b", "bob", long), "another office")
	f.True(f.hold("a", "ann", brief), "whoever has it keeps it")
	f.eventually(func() bool { return g.hold("a", "bob", long) }, "the lease to run out")
	f.False(f.hold("a", "ann", long))
	f.True(g.hold("a", "bob", 0), "and gives it up with a lease of nothing")
	f.True(f.hold("a", "ann", long))
	for _, name := range []string{"", strings.Repeat("x", 129)} {
		_, err := f.shared().Hold(f.ctx, name, "ann", long)
		f.ErrorIs(err, store.ErrInvalid)
		_, err = f.shared().Hold(f.ctx, "a", name, long)
		f.ErrorIs(err, store.ErrInvalid)
	}
}

func sharedHoldAtOnce(f *fixture) {
	g := f.another()
	for n := range 20 {
		var have atomic.Int64
		together(racers, func(i int) {
			ok, err := []*fixture{f, g}[i%2].shared().Hold(f.ctx, fmt.Sprint(n), fmt.Sprint(i), long)
			if err == nil && ok {
				have.Add(1)
			}
		})
		f.EqualValues(1, have.Load())
	}
}
