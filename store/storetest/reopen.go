package storetest

import (
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func reopenRules() []rule {
	return []rule{
		{"EverythingIsThere", reopenEverything},
		{"ClaimOrder", reopenClaims},
		{"Turns", reopenTurns},
		{"Paused", reopenPaused},
		{"Keys", reopenKeys},
		{"Deliveries", reopenDeliveries},
		{"EveryDeliveryState", reopenStates},
		{"FeedGoesOn", reopenFeed},
		{"TimePassedWhileClosed", reopenTime},
		{"Leases", reopenLeases},
		{"Empty", reopenEmpty},
	}
}

// populate fills a store with all that outlives it: records in every state but
// working, and what comes with them. It returns the ids of those that were
// deleted again.
func (f *fixture) populate() []ulid.ULID {
	f.t.Helper()
	hours := func(n int) time.Time { return now().Add(time.Duration(n) * time.Hour) }
	f.catalog()
	f.insert(insertion(everyField(), 2), insertion(owned("ann", "key", "x"), 0))
	for i, lane := range []string{"a", "ab", "a", ""} {
		ready, delayed, late := ranked(lane, int32(i)), ranked(lane, 9), ranked(lane, 9)
		ready.Deadline, delayed.RunAt, late.Deadline = hours(2), hours(1), hours(-i-1)
		f.insert(insertion(ready, 1), insertion(delayed, 1), insertion(late, 1))
	}
	f.add(queued("work"))
	f.add(queued("work"))
	f.add(queued("work"))
	for i, r := range f.claim("work", 3) {
		f.apply([]store.Change{end(r.Head), change(r.Head, store.Queued, 2), change(r.Head, failed, 0)}[i])
	}
	later := sending("later", 2)
	later.Deliveries[0].Due = hours(3)
	heads := f.insert(sending("one", 3), sending("two", 2), later)
	f.settle(store.Delivered, f.sendAs(store.DeliveryClaim{Limit: 1, Room: noRoom("two")})[0])
	f.settle(store.Pending, f.sendAs(store.DeliveryClaim{Limit: 1, Room: noRoom("one")})[0])

	f.pause(store.Pause{All: true, Lanes: []string{"", "ab", "unknown"}})

	gone := []store.Head{f.add(queued("gone")), f.apply(end(f.insert(sending("gone", 1))[0])), heads[1]}
	f.remove(gone...)
	return ids(gone...)
}

func reopenEverything(f *fixture) {
	gone := f.populate()
	before := f.observe(gone...)
	f.NotEmpty(before.Overdue)
	f.NotZero(before.Upcoming.Run)
	for range 3 {
		f.reopen()
		f.Equal(before, f.observe(gone...))
	}
}

func reopenClaims(f *fixture) {
	var heads []store.Head
	for _, p := range []int32{3, -1, 7, 3, 0} {
		heads = append(heads, f.add(ranked("lane", p)))
	}
	requeued := f.claim("lane", 1)[0]
	f.apply(change(requeued.Head, store.Queued, 1))
	f.reopen()
	f.Equal(ids(heads[2], heads[0]), recordIDs(f.claim("lane", 2)))
	f.reopen()
	f.Equal(ids(heads[3], heads[4], heads[1]), recordIDs(f.claim("lane", 9)), "what was claimed stays claimed")
}

// Turns go on where they were.
func reopenTurns(f *fixture) {
	f.script("aaaabb")
	records := f.claim("lane", 3)
	f.giveBack(records[1:]...)
	f.reopen()
	f.script("acb")
	f.Equal(ids(records[2].Head, records[1].Head), recordIDs(f.claim("lane", 2)))
	f.reopen()
	f.Equal("bcabaa", f.owners(10))
}

func reopenPaused(f *fixture) {
	f.add(queued("lane"))
	f.add(queued(""))
	f.pause(store.Pause{All: true, Lanes: []string{"lane"}})
	f.reopen()
	f.Equal(store.Pause{All: true, Lanes: []string{"lane"}}, f.paused())
	f.Empty(f.claim("", 9))
	f.resume(everything)
	f.reopen()
	f.Equal(named("lane"), f.paused())
	f.Len(f.claim("", 9), 1)
	f.Empty(f.claim("lane", 9))
	f.resume(named("lane"))
	f.reopen()
	f.Len(f.claim("lane", 9), 1)
}

func reopenKeys(f *fixture) {
	kept, freed := f.add(owned("owner", "kept", "x")), f.add(owned("owner", "freed", "x"))
	f.remove(freed)
	f.reopen()
	f.existing(owned("owner", "kept", "x"), kept)
	f.reused(owned("owner", "kept", "y"))
	f.add(owned("owner", "freed", "y"))
}

func reopenDeliveries(f *fixture) {
	f.insert(sending("endpoint", 3))
	d := f.send(1)[0]
	f.settle(store.Pending, d)
	f.reopen()
	d = f.send(1)[0]
	f.EqualValues(1, d.Seq)
	f.Equal(1, d.Attempt)
	f.Equal(body(d.ID, 1), d.Body)
	f.reopen()
	for _, again := range f.send(9) { // whether its lease goes on is the store's to say
		f.Equal(d, again)
	}
	f.settle(store.Delivered, d)
	f.reopen()
	for _, seq := range []uint64{2, 3} {
		d = f.send(9)[0]
		f.Equal(seq, d.Seq)
		f.Equal(body(d.ID, seq), d.Body)
		f.settle(store.Failed, d)
	}
	f.reopen()
	f.Empty(f.send(9))
}

// What was stopped stays so, for those to come too; what was reopened is in front; and
// the number of those that are pending is known.
func reopenStates(f *fixture) {
	heads := f.insert(sending("endpoint", 2), sending("endpoint", 3), sending("endpoint", 2))
	list := f.send(9)
	f.Len(list, 3)
	for _, d := range list {
		f.settle(map[bool]store.DeliveryState{true: store.Stopped, false: store.Delivered}[d.ID == heads[0].ID], d)
	}
	f.remove(heads[2])
	f.NoError(f.settled(untried(heads[1], 3, store.Superseded))[0])
	f.NoError(f.settled(reopening(heads[1], 1, 1))[0])
	for range 2 {
		f.reopen()
		f.Equal(3, f.backlog())
		f.Equal([]store.DeliveryState{store.Stopped, store.Stopped}, f.states(heads[0]))
		f.Equal([]store.DeliveryState{store.Pending, store.Pending, store.Superseded}, f.states(heads[1]))
	}
	f.notify(heads[0], 1)
	f.notify(heads[1], 1)
	f.reopen()
	var got []place
	for range 3 {
		list := f.send(9)
		for _, d := range list {
			got = append(got, place{d.ID, d.Seq})
		}
		f.settle(store.Delivered, list...)
		f.reopen()
	}
	f.ElementsMatch([]place{{heads[2].ID, 2}, {heads[1].ID, 1}, {heads[1].ID, 2}, {heads[1].ID, 4}}, got)
	f.Zero(f.backlog())
	f.NoError(f.settled(reopening(heads[0], 2, 0))[0])
	f.reopen()
	f.Equal(heads[0].ID, f.next(2).ID)
}

// A reader of the feed can go on where it was, even when all it has read is
// gone: no position is given twice.
func reopenFeed(f *fixture) {
	heads := f.insert(insertion(queued("lane"), 2), insertion(queued("lane"), 3))
	read := f.feed(store.FeedQuery{Limit: 9})
	next := read[len(read)-1].Pos
	f.reopen()
	f.Equal(read, f.feed(store.FeedQuery{Limit: 9}))
	f.remove(heads...)
	f.reopen()
	f.Empty(f.feed(store.FeedQuery{Limit: 9}))
	h := f.insert(insertion(queued("lane"), 2))[0]
	f.Equal([]place{{h.ID, 1}, {h.ID, 2}}, places(f.feed(store.FeedQuery{After: next, Limit: 9})))
}

func reopenTime(f *fixture) {
	delayed, late, sent := queued("lane"), queued("late"), sending("endpoint", 1)
	soon := now().Add(brief)
	delayed.RunAt, late.Deadline, sent.Deliveries[0].Due = soon, soon, soon
	sent.Head.Lane = "other"
	f.insert(insertion(delayed, 1), insertion(late, 1), sent)
	f.NoError(f.Close())
	f.eventually(func() bool { return time.Now().After(soon.Add(brief)) }, "times to pass")
	f.open()
	f.eventually(func() bool { return len(f.overdue(9)) == 1 && f.ready()["lane"] == 1 }, "store to notice")
	f.Equal(ids(late), ids(f.overdue(9)...))
	f.Empty(f.claim("late", 9))
	f.Equal(ids(delayed), recordIDs(f.claim("lane", 9)))
	f.Len(f.send(9), 1)
}

// What was being worked on still is, by the same worker and at the same
// version. Its lease may go on, or may have ended with the process that gave
// it, where the store knows that nobody else can hold it.
func reopenLeases(f *fixture) {
	f.add(queued("lane"))
	f.add(queued("lane"))
	records := f.claim("lane", 2)
	f.reopen()
	f.Empty(f.claim("lane", 9))
	for _, r := range records {
		f.sameButLease(r.Head, f.get(r.ID).Head)
	}
	extended := f.extend(records[0].Head, 2*long)
	f.NoError(extended.Err)
	f.reopen()
	f.sameButLease(extended.Head, f.get(records[0].ID).Head)
	f.apply(end(records[1].Head))
	f.apply(end(records[0].Head))
	f.Empty(f.overdue(9))
}

// sameButLease asserts that a working record is as it was before the store was
// opened again, with its lease or without.
func (f *fixture) sameButLease(before, after store.Head) {
	f.t.Helper()
	if !after.Deadline.Equal(before.Deadline) {
		f.False(after.Deadline.IsZero())
		f.False(after.Deadline.After(time.Now()))
	}
	before.Deadline = after.Deadline
	f.same(before, after)
}

func reopenEmpty(f *fixture) {
	before := f.observe()
	f.reopen()
	f.Equal(before, f.observe())
	f.remove(f.add(queued("lane")))
	f.reopen()
	f.Equal(before, f.observe())
	f.Empty(f.claim("lane", 9))
}
