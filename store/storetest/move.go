package storetest

import (
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// The rules of a store that is a [store.Mover] too.

func moveRules() []rule {
	return []rule{
		{"AsItIs", moveAsItIs},
		{"InParts", moveInParts},
		{"NothingTwice", moveTwice},
		{"NothingOver", moveOver},
		{"GoesOn", moveGoesOn},
	}
}

// movers are the store of a fixture and one that is empty.
func (f *fixture) movers() (from, to store.Mover, there *fixture) {
	there = newFixture(f.t, f.h)
	return f.Store.(store.Mover), there.Store.(store.Mover), there
}

// wholes are all the records of a store, taken so many at a time.
func (f *fixture) wholes(m store.Mover, limit int) (all []store.Whole) {
	f.t.Helper()
	for after := (ulid.ULID{}); ; after = all[len(all)-1].ID {
		some, err := m.Export(f.ctx, after, limit)
		f.NoError(err)
		f.LessOrEqual(len(some), limit)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

func (f *fixture) imported(m store.Mover, in []store.Whole) []store.Result {
	f.t.Helper()
	results, err := m.Import(f.ctx, in)
	f.NoError(err)
	f.Len(results, len(in))
	return results
}

// placeless is without what a move changes: the places of events in the feed.
func placeless(all []store.Whole) []store.Whole {
	for i := range all {
		for k := range all[i].Events {
			all[i].Events[k].Pos = 0
		}
	}
	return all
}

func moveAsItIs(f *fixture) {
	from, to, there := f.movers()
	f.populate()
	all := f.wholes(from, 100)
	f.Len(f.list(store.Query{Limit: 1000}), len(all))
	for _, w := range all {
		r := f.get(w.ID)
		f.same(r.Head, w.Head)
		f.Equal(r.Spec, w.Spec)
		f.Equal(r.Outcome, w.Outcome)
		f.Equal(f.events(w.ID), w.Events)
		f.Len(w.Deliveries, len(f.deliveries(w.ID)))
		for _, d := range w.Deliveries {
			f.Equal(body(d.ID, d.Seq), d.Body)
		}
	}
	for _, r := range f.imported(to, all) {
		f.NoError(r.Err)
		f.False(r.Existing)
	}
	f.Equal(placeless(all), placeless(there.wholes(to, 100)))
	f.Equal(pendingOf(all), there.backlog())
	f.Equal(f.ready(), there.ready())
}

func moveInParts(f *fixture) {
	from, _, _ := f.movers()
	f.populate()
	f.Equal(f.wholes(from, 100), f.wholes(from, 1))
	big := insertion(queued("lane"), 1)
	big.Spec = make([]byte, 10<<20)
	more := insertion(queued("lane"), 1)
	more.Spec = big.Spec
	last := insertion(queued("lane"), 1)
	f.insert(big, more, last)
	some, err := from.Export(f.ctx, big.Head.ID, 100)
	f.NoError(err)
	f.Len(some, 2)
	before := big.Head.ID
	before[15]--
	some, err = from.Export(f.ctx, before, 100)
	f.NoError(err)
	f.Len(some, 2, "more than 16 MiB")
}

// A move that was cut off can be made again, from its beginning.
func moveTwice(f *fixture) {
	from, to, there := f.movers()
	f.populate()
	all := f.wholes(from, 100)
	f.imported(to, all[:len(all)/2])
	for i, r := range f.imported(to, all) {
		f.NoError(r.Err)
		f.Equal(i < len(all)/2, r.Existing)
		f.same(all[i].Head, r.Head)
	}
	f.Equal(placeless(all), placeless(there.wholes(to, 100)))
	f.Equal(pendingOf(all), there.backlog())
}

// pendingOf counts the deliveries that are pending.
func pendingOf(all []store.Whole) (n int) {
	for _, w := range all {
		for _, d := range w.Deliveries {
			if d.State == store.Pending {
				n++
			}
		}
	}
	return n
}

// What has changed since, or belongs to others, is not overwritten.
func moveOver(f *fixture) {
	from, to, there := f.movers()
	f.insert(insertion(owned("owner", "key", "what"), 1))
	f.insert(insertion(owned("owner", "", ""), 1))
	all := f.wholes(from, 100)
	other := there.insert(insertion(owned("owner", "key", "else"), 1))[0]
	f.imported(to, all[1:])
	moved := there.apply(change(all[1].Head, store.Queued, 1))
	results := f.imported(to, all)
	f.ErrorIs(results[0].Err, store.ErrKeyReused)
	f.NoError(results[1].Err)
	f.True(results[1].Existing)
	f.same(moved, results[1].Head)
	f.ErrorIs(f.imported(from, there.wholes(to, 100))[0].Err, store.ErrExists, "it has gone on there, and not here")
	there.gone(all[0].ID)
	there.same(moved, there.get(moved.ID).Head)
	there.same(other, there.get(other.ID).Head)
}

// What was moved is claimed, sent and ended as if it had always been there.
func moveGoesOn(f *fixture) {
	from, to, there := f.movers()
	first, second := sending("endpoint", 2), sending("endpoint", 1)
	f.insert(first, second)
	f.settle(store.Delivered, f.send(1)...)
	for _, r := range f.imported(to, f.wholes(from, 100)) {
		f.NoError(r.Err)
	}
	sent := there.send(9)
	there.Len(sent, 2)
	there.settle(store.Delivered, sent...)
	there.Zero(there.backlog())
	records := there.claim("lane", 9)
	there.Len(records, 2)
	there.Equal(first.Head.ID, records[0].ID)
	for _, r := range records {
		there.apply(change(r.Head, done, 1))
	}
	there.Len(there.feed(store.FeedQuery{Limit: 100}), 3+2*2)
}
