package storetest

import (
	"time"

	"github.com/foreman-go/foreman/store"
)

func deleteRules() []rule {
	return []rule{
		{"RemovesAll", deleteAll},
		{"Fenced", deleteFenced},
		{"MixedBatch", deleteMixedBatch},
		{"LeavesIndexes", deleteIndexes},
		{"PendingDeliveriesStay", deletePending},
		{"PendingDeliveriesAreRetried", deleteRetried},
		{"SettledDeliveriesGo", deleteSettled},
	}
}

func deleteAll(f *fixture) {
	stays := f.insert(sending("endpoint", 1))[0]
	before := f.observe()
	head := f.insert(insertion(owned("owner", "key", "x"), 2))[0]
	head = f.apply(end(head))
	f.remove(head)

	f.gone(head.ID)
	f.Empty(f.events(head.ID))
	f.Empty(f.deliveries(head.ID))
	f.Equal("not found", f.position(head.ID))
	f.Equal(before, f.observe(), "as if it had never been")
	f.Equal(ids(stays), ids(f.list(store.Query{})...))
	f.ErrorIs(f.try(end(head)).Err, store.ErrNotFound)
}

func deleteFenced(f *fixture) {
	old := f.insert(sending("endpoint", 1))[0]
	head := f.apply(change(old, done, 1))
	ahead := head
	ahead.Version++
	before := f.observe()
	for name, ref := range map[string]store.Ref{"late": old.Ref(), "ahead": ahead.Ref(), "version 0": {ID: old.ID}} {
		results, err := f.Delete(f.ctx, []store.Ref{ref})
		f.NoError(err)
		f.Len(results, 1)
		f.ErrorIs(results[0].Err, store.ErrStale, name)
		f.same(head, results[0].Head)
		f.Equal(before, f.observe(), "%s: nothing changed", name)
	}
}

func deleteMixedBatch(f *fixture) {
	heads := f.insert(sending("a", 1), sending("b", 1), sending("c", 1))
	moved := f.apply(change(heads[1], store.Queued, 1))
	unknown := queued("lane")
	results, err := f.Delete(f.ctx, refs(heads[0], heads[1], unknown, heads[2], heads[0]))
	f.NoError(err)
	f.Len(results, 5)
	f.NoError(results[0].Err)
	f.ErrorIs(results[1].Err, store.ErrStale)
	f.same(moved, results[1].Head)
	f.ErrorIs(results[2].Err, store.ErrNotFound)
	f.NoError(results[3].Err)
	f.ErrorIs(results[4].Err, store.ErrNotFound, "twice in one batch")
	f.Equal(ids(moved), ids(f.list(store.Query{Limit: 10})...))
	f.Equal(map[string]int{"lane": 1}, f.ready())
}

// A record can be removed in any state, and leaves every index it was in.
func deleteIndexes(f *fixture) {
	past, future := now().Add(-time.Hour), now().Add(time.Hour)
	ready, delayed, late, working := queued("lane"), queued("lane"), queued("lane"), queued("working")
	ready.Deadline, delayed.RunAt, late.Deadline = future, future, past
	heads := f.insert(insertion(ready, 1), insertion(delayed, 1), insertion(late, 1), insertion(working, 1))
	heads[3] = f.claim("working", 1)[0].Head
	ended := change(f.add(queued("lane")), done, 1)
	ended.Head.Deadline = past
	heads = append(heads, f.apply(ended))

	f.Len(f.overdue(10), 2)
	f.remove(heads...)
	f.Empty(f.list(store.Query{Limit: 10}))
	f.Empty(f.feed(store.FeedQuery{Limit: 10}))
	f.Empty(f.lanes())
	f.Empty(f.claim("lane", 10))
	f.Empty(f.overdue(10))
	f.Zero(f.upcoming())
}

func deletePending(f *fixture) {
	head := f.insert(sending("endpoint", 3))[0]
	f.settle(store.Delivered, f.send(1)[0])
	f.remove(head)
	f.gone(head.ID)

	left := f.deliveries(head.ID)
	f.Len(left, 2, "what is still to be sent can be seen")
	for i, seq := range []uint64{2, 3} {
		f.Equal(seq, left[i].Seq)
		d := f.send(10)
		f.Len(d, 1, "one at a time, as before")
		f.Equal(seq, d[0].Seq)
		f.Equal(body(head.ID, seq), d[0].Body)
		f.settle([]store.DeliveryState{store.Delivered, store.Failed}[i], d[0])
	}
	f.Empty(f.deliveries(head.ID))
	f.Empty(f.send(10))
	f.Zero(f.upcoming())

	late := store.Settlement{ID: head.ID, Seq: 3, Attempt: 1, State: store.Delivered}
	f.ErrorIs(f.settled(late)[0], store.ErrNotFound, "nothing is left")
}

func deleteRetried(f *fixture) {
	head := f.insert(sending("endpoint", 1))[0]
	d := f.send(1)[0]
	f.remove(head)
	f.settle(store.Pending, d)
	again := f.send(1)
	f.Len(again, 1)
	f.Equal(1, again[0].Attempt)
	f.Equal(settlement(d, store.Pending).Log, again[0].Log)
	f.Equal(body(head.ID, 1), again[0].Body)
	f.settle(store.Delivered, again[0])
	f.Empty(f.deliveries(head.ID))
}

func deleteSettled(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	f.settle(store.Delivered, f.send(1)[0])
	f.settle(store.Failed, f.send(1)[0])
	f.Len(f.deliveries(head.ID), 2)
	f.remove(head)
	f.Empty(f.deliveries(head.ID))
}
