package storetest

import (
	"github.com/foreman-go/foreman/store"
)

func settleRules() []rule {
	return []rule{
		{"Superseded", settleSuperseded},
		{"LaterFirst", settleLaterFirst},
		{"LaterRetried", settleLaterRetried},
		{"AttemptAlone", settleAttemptAlone},
		{"InOneBatch", settleOneBatch},
		{"OfOneBatchInOrder", settleBatchInOrder},
	}
}

// next claims what is due and expects the delivery with this sequence alone; 0 is none.
func (f *fixture) next(seq uint64) store.Delivery {
	f.t.Helper()
	list := f.send(10)
	if seq == 0 {
		f.Empty(list)
		return store.Delivery{}
	}
	f.Len(list, 1)
	f.Equal(seq, list[0].Seq)
	f.Equal(body(list[0].ID, seq), list[0].Body)
	return list[0]
}

// states returns the states of the deliveries of a record, in order.
func (f *fixture) states(head store.Head) []store.DeliveryState {
	f.t.Helper()
	list := []store.DeliveryState{}
	for _, d := range f.deliveries(head.ID) {
		list = append(list, d.State)
	}
	return list
}

// untried is the settlement of a delivery that nobody has tried.
func untried(head store.Head, seq uint64, state store.DeliveryState) store.Settlement {
	return settlement(store.Delivery{ID: head.ID, Seq: seq}, state)
}

// Superseded is an end like any other, and makes way for the next.
func settleSuperseded(f *fixture) {
	head := f.insert(sending("endpoint", 3))[0]
	d := f.next(1)
	f.settle(store.Superseded, d)
	kept := f.deliveries(head.ID)[0]
	f.Equal(store.Superseded, kept.State)
	f.Equal(1, kept.Attempt)
	f.Equal(settlement(d, store.Superseded).Log, kept.Log)
	f.settle(store.Delivered, f.next(2))
	f.settle(store.Superseded, f.next(3))
	f.next(0)
	f.Equal([]store.DeliveryState{store.Superseded, store.Delivered, store.Superseded}, f.states(head))
	f.Zero(f.upcoming())
}

// Those in the middle are settled before the first: the turn is of the next that is
// pending, not of the next by sequence.
func settleLaterFirst(f *fixture) {
	head := f.insert(sending("endpoint", 5))[0]
	first := f.next(1)
	for _, err := range f.settled(untried(head, 2, store.Superseded), untried(head, 3, store.Failed)) {
		f.NoError(err)
	}
	f.next(0)
	f.settle(store.Delivered, first)
	fourth := f.next(4)
	c := change(head, store.Queued, 1)
	c.Deliveries = to("endpoint", c.Events)
	head = f.apply(c)
	f.NoError(f.settled(untried(head, 6, store.Superseded))[0])
	f.next(0)
	f.settle(store.Delivered, fourth)
	f.settle(store.Delivered, f.next(5))
	f.next(0)
	c = change(head, store.Queued, 1)
	c.Deliveries = to("endpoint", c.Events)
	f.apply(c)
	f.next(7)
}

// One that waits may get another time and another attempt; it waits all the same.
func settleLaterRetried(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	s := untried(head, 2, store.Pending)
	s.Due = now().Add(-1000 * brief)
	f.NoError(f.settled(s)[0])
	first := f.next(1)
	f.settle(store.Pending, first)
	first = f.next(1)
	f.settle(store.Delivered, first)
	second := f.next(2)
	f.Equal(1, second.Attempt)
	f.Equal(s.Log, second.Log)
}

// The attempt is the whole fence: with the right one a settled delivery can be settled
// in another way, with a wrong one nothing can be done.
func settleAttemptAlone(f *fixture) {
	ends := []store.DeliveryState{store.Delivered, store.Failed, store.Superseded, store.Stopped}
	head := f.insert(sending("endpoint", 1))[0]
	d := f.next(1)
	attempt := 0
	for _, from := range ends {
		for _, state := range append(ends, store.Pending, from) {
			s := settlement(d, state)
			s.Due = now().Add(long)
			for _, wrong := range []int{attempt - 1, attempt + 1} {
				s.Attempt = wrong
				f.ErrorIs(f.settled(s)[0], store.ErrStale)
			}
			s.Attempt = attempt
			f.NoError(f.settled(s)[0])
			attempt++
			kept := f.deliveries(head.ID)[0]
			f.Equal(attempt, kept.Attempt)
			f.Equal(state, kept.State)
		}
	}
	f.next(0)
}

func settleOneBatch(f *fixture) {
	head := f.insert(sending("endpoint", 4))[0]
	first := f.next(1)
	f.NoError(f.settled(settlement(first, store.Superseded), untried(head, 2, store.Superseded), untried(head, 3, store.Superseded))[0])
	f.next(4)
	f.Equal([]store.DeliveryState{store.Superseded, store.Superseded, store.Superseded, store.Pending}, f.states(head))
}

// Each settlement of a batch sees those before it.
func settleBatchInOrder(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	first := f.next(1)
	retried, again := settlement(first, store.Pending), settlement(first, store.Delivered)
	again.Attempt = 1
	errs := f.settled(retried, again, again, untried(head, 2, store.Failed))
	f.NoError(errs[0])
	f.NoError(errs[1])
	f.ErrorIs(errs[2], store.ErrStale)
	f.NoError(errs[3])
	f.next(0)
	f.Equal([]store.DeliveryState{store.Delivered, store.Failed}, f.states(head))
}
