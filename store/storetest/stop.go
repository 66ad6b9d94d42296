package storetest

import (
	"github.com/foreman-go/foreman/store"
)

func stopRules() []rule {
	return []rule{
		{"StopsWhatFollows", stopFollowing},
		{"StopsWhatComes", stopComing},
		{"StopsOneRecord", stopOneRecord},
		{"LeavesOthersOfTheRecord", stopLeaves},
		{"LateSettlement", stopLate},
		{"OfDeletedRecord", stopDeleted},
	}
}

// notify adds n events with a delivery each.
func (f *fixture) notify(head store.Head, n int) store.Head {
	f.t.Helper()
	c := change(head, store.Queued, n)
	c.Deliveries = to("endpoint", c.Events)
	return f.apply(c)
}

func stopFollowing(f *fixture) {
	in := sending("endpoint", 4)
	in.Deliveries[3].Due = now().Add(long)
	in.Deliveries[1].Log = []byte("log")
	head := f.insert(in)[0]
	d := f.next(1)
	f.settle(store.Stopped, d)
	list := f.deliveries(head.ID)
	f.Len(list, 4)
	f.Equal(1, list[0].Attempt)
	f.Equal(settlement(d, store.Stopped).Log, list[0].Log)
	for i, got := range list {
		f.Equal(store.Stopped, got.State)
		if i > 0 {
			f.Zero(got.Attempt, "nobody tried it")
			f.Equal(string(in.Deliveries[i].Log), string(got.Log))
		}
	}
	f.next(0)
	f.Zero(f.upcoming())
}

// What comes to a record that was stopped is kept, and never sent.
func stopComing(f *fixture) {
	head := f.insert(sending("endpoint", 1))[0]
	f.settle(store.Stopped, f.next(1))
	head = f.notify(head, 2)
	head = f.apply(change(head, store.Queued, 3)) // events without a delivery
	head = f.notify(head, 1)
	f.next(0)
	list := f.deliveries(head.ID)
	f.Len(list, 4)
	for _, d := range list {
		f.Equal(store.Stopped, d.State)
	}
	f.Zero(list[3].Attempt)
	f.EqualValues(7, list[3].Seq)

	f.claim("lane", 1) // a claim causes events too
	f.next(0)
	f.Zero(f.upcoming().Delivery)
	f.Zero(f.backlog())
}

func stopOneRecord(f *fixture) {
	f.insert(sending("endpoint", 2), sending("endpoint", 2))
	list := f.send(10)
	f.Len(list, 2)
	f.settle(store.Stopped, list[0])
	f.settle(store.Delivered, list[1])
	next := f.next(2)
	f.Equal(list[1].ID, next.ID)
}

// Earlier ones that are pending, and all that are settled, stay as they are; and it is
// the last delivery that decides about the next.
func stopLeaves(f *fixture) {
	head := f.insert(sending("endpoint", 4))[0]
	for _, err := range f.settled(untried(head, 3, store.Failed), untried(head, 2, store.Stopped)) {
		f.NoError(err)
	}
	f.Equal([]store.DeliveryState{store.Pending, store.Stopped, store.Failed, store.Stopped}, f.states(head))
	f.settle(store.Delivered, f.next(1))
	f.next(0)

	s := untried(head, 4, store.Delivered) // as it turns out
	f.NoError(f.settled(s)[0])
	head = f.notify(head, 1)
	f.settle(store.Delivered, f.next(5))
	f.Equal([]store.DeliveryState{store.Delivered, store.Stopped, store.Failed, store.Delivered, store.Delivered}, f.states(head))
	f.NoError(f.settled(store.Settlement{ID: head.ID, Seq: 1, Attempt: 1, State: store.Stopped})[0])
	head = f.notify(head, 1)
	f.next(6)

	// Stopping what was settled stops what is pending after it.
	f.NoError(f.settled(store.Settlement{ID: head.ID, Seq: 5, Attempt: 1, State: store.Stopped})[0])
	f.Equal(store.Stopped, f.states(head)[5])
	f.next(0)
	f.Zero(f.upcoming().Delivery)
}

// One that was under way when it was stopped can be settled as it ended.
func stopLate(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	f.settle(store.Delivered, f.next(1))
	underway := f.next(2)
	f.NoError(f.settled(store.Settlement{ID: head.ID, Seq: 1, Attempt: 1, State: store.Pending})[0])
	again := f.next(1)
	f.settle(store.Stopped, again)
	f.Equal([]store.DeliveryState{store.Stopped, store.Stopped}, f.states(head))
	f.settle(store.Delivered, underway)
	f.Equal([]store.DeliveryState{store.Stopped, store.Delivered}, f.states(head))
	f.next(0)
}

func stopDeleted(f *fixture) {
	head := f.insert(sending("endpoint", 3))[0]
	f.settle(store.Delivered, f.next(1))
	f.remove(head)
	f.settle(store.Stopped, f.next(2))
	f.Empty(f.deliveries(head.ID), "all settled, so all gone")
	f.Zero(f.backlog())
	f.next(0)
	f.Zero(f.upcoming())
}
