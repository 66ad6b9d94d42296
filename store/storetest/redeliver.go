package storetest

import (
	"time"

	"github.com/foreman-go/foreman/store"
)

func redeliverRules() []rule {
	return []rule{
		{"EveryEnd", redeliverEveryEnd},
		{"NotBeforeDue", redeliverDue},
		{"Fence", redeliverFence},
		{"LaterWait", redeliverLaterWait},
		{"OnlyOne", redeliverOnlyOne},
		{"BehindFirst", redeliverBehindFirst},
		{"LaterUnderway", redeliverUnderway},
		{"EndsLease", redeliverEndsLease},
		{"OfDeletedRecord", redeliverDeleted},
		{"OutlivesRecord", redeliverOutlives},
	}
}

// reopening is the settlement that makes a delivery pending again that was settled at
// its nth attempt.
func reopening(head store.Head, seq uint64, attempt int) store.Settlement {
	return settlement(store.Delivery{ID: head.ID, Seq: seq, Attempt: attempt}, store.Pending)
}

func redeliverEveryEnd(f *fixture) {
	for _, end := range []store.DeliveryState{store.Delivered, store.Failed, store.Superseded, store.Stopped} {
		head := f.insert(sending("endpoint", 1))[0]
		f.settle(end, f.next(1))
		f.next(0)
		s := reopening(head, 1, 1)
		s.Due = now().Add(-time.Hour)
		f.NoError(f.settled(s)[0], "%s", end)
		kept := f.deliveries(head.ID)[0]
		f.Equal(store.Pending, kept.State)
		f.Equal(2, kept.Attempt)
		f.Equal(s.Due, kept.Due)
		f.Equal(s.Log, kept.Log)
		d := f.next(1) // with the same bytes
		f.Equal(head.ID, d.ID)
		f.Equal(2, d.Attempt)
		f.settle(store.Delivered, d)
		f.next(0)
	}
}

func redeliverDue(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	f.settle(store.Delivered, f.next(1))
	s := reopening(head, 1, 1)
	s.Due = now().Add(time.Hour)
	f.NoError(f.settled(s)[0])
	f.next(0)
	f.Equal(s.Due, f.upcoming().Delivery)
	s.Attempt, s.Due = 2, now().Add(2*brief)
	f.NoError(f.settled(s)[0])
	f.eventually(func() bool {
		list := f.send(9)
		if len(list) > 0 {
			f.EqualValues(1, list[0].Seq)
			f.False(time.Now().Before(s.Due))
		}
		return len(list) == 1
	}, "delivery to become due again")
}

func redeliverFence(f *fixture) {
	head := f.insert(sending("endpoint", 1))[0]
	f.settle(store.Failed, f.next(1))
	before := f.observe()
	for _, attempt := range []int{-1, 0, 2} {
		f.ErrorIs(f.settled(reopening(head, 1, attempt))[0], store.ErrStale)
	}
	f.ErrorIs(f.settled(reopening(head, 2, 1))[0], store.ErrNotFound)
	f.Equal(before, f.observe())
	f.next(0)
	errs := f.settled(reopening(head, 1, 1), reopening(head, 1, 1))
	f.NoError(errs[0])
	f.ErrorIs(errs[1], store.ErrStale, "it was reopened already")
	f.next(1)
}

// Those that come after the reopened one wait for it; those that were settled
// meanwhile are not waited for, and not sent again.
func redeliverLaterWait(f *fixture) {
	head := f.insert(sending("endpoint", 4))[0]
	f.settle(store.Delivered, f.next(1))
	f.settle(store.Failed, f.next(2))
	s := reopening(head, 1, 1)
	s.Due = now().Add(long)
	f.NoError(f.settled(s)[0])
	f.next(0)
	f.Equal(s.Due, f.upcoming().Delivery, "what is due waits for what is not")
	s.Attempt, s.Due = 2, time.Time{}
	f.NoError(f.settled(s)[0])
	first := f.next(1)
	f.next(0)
	f.settle(store.Pending, first)
	f.settle(store.Delivered, f.next(1))
	f.settle(store.Delivered, f.next(3))
	f.settle(store.Delivered, f.next(4))
	f.next(0)
}

func redeliverOnlyOne(f *fixture) {
	head := f.insert(sending("endpoint", 4))[0]
	f.settle(store.Stopped, f.next(1))
	f.NoError(f.settled(reopening(head, 2, 0))[0], "it was never tried")
	f.Equal([]store.DeliveryState{store.Stopped, store.Pending, store.Stopped, store.Stopped}, f.states(head))
	d := f.next(2)
	f.Equal(1, d.Attempt)
	f.settle(store.Delivered, d)
	f.next(0)
	f.notify(head, 1)
	f.next(0)
}

// A reopened delivery waits for an earlier one that is pending.
func redeliverBehindFirst(f *fixture) {
	head := f.insert(sending("endpoint", 4))[0]
	first := f.next(1)
	f.NoError(f.settled(untried(head, 3, store.Superseded))[0])
	f.NoError(f.settled(reopening(head, 3, 1))[0])
	f.next(0)
	f.settle(store.Delivered, first)
	for _, seq := range []uint64{2, 3, 4} {
		f.settle(store.Delivered, f.next(seq))
	}
	f.next(0)
}

// A later one is under way when an earlier one is reopened: both are settled as they
// end, in any order.
func redeliverUnderway(f *fixture) {
	for _, earlierFirst := range []bool{true, false} {
		for _, state := range []store.DeliveryState{store.Delivered, store.Pending} {
			head := f.insert(sending("endpoint", 3))[0]
			f.settle(store.Delivered, f.next(1))
			later := f.next(2)
			f.NoError(f.settled(reopening(head, 1, 1))[0])
			earlier := f.next(1)
			f.next(0)
			if earlierFirst {
				f.settle(store.Delivered, earlier)
				f.next(0) // the second is hidden, and pending
				f.settle(state, later)
			} else {
				f.settle(state, later)
				f.next(0) // the first is hidden, and pending
				f.settle(store.Delivered, earlier)
			}
			if state == store.Pending {
				f.settle(store.Delivered, f.next(2))
			}
			f.settle(store.Delivered, f.next(3))
			f.next(0)
		}
	}
}

// Settling a delivery without having claimed it, and reopening it, end the lease of
// whoever has it, who is late then.
func redeliverEndsLease(f *fixture) {
	head := f.insert(sending("endpoint", 1))[0]
	claimed := f.next(1)
	f.NoError(f.settled(untried(head, 1, store.Superseded))[0])
	f.NoError(f.settled(reopening(head, 1, 1))[0])
	again := f.next(1)
	f.Equal(2, again.Attempt)
	f.ErrorIs(f.settled(settlement(claimed, store.Delivered))[0], store.ErrStale)
	f.next(0) // the late one has not ended the new lease
	f.settle(store.Delivered, again)
}

func redeliverDeleted(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	f.settle(store.Delivered, f.next(1))
	f.remove(head)
	f.ErrorIs(f.settled(reopening(head, 1, 1))[0], store.ErrNotFound)
	f.settle(store.Delivered, f.next(2))
	f.ErrorIs(f.settled(reopening(head, 2, 1))[0], store.ErrNotFound)
	f.next(0)
	f.Zero(f.backlog())
}

// Reopened before its record was deleted, it is pending, and outlives it.
func redeliverOutlives(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	f.settle(store.Delivered, f.next(1))
	f.settle(store.Delivered, f.next(2))
	f.NoError(f.settled(reopening(head, 2, 1))[0])
	f.remove(head)
	f.Len(f.deliveries(head.ID), 1)
	f.ErrorIs(result(f.Insert(f.ctx, []store.Insertion{insertion(head, 1)})).Err, store.ErrExists, "its id is not free")
	f.settle(store.Delivered, f.next(2))
	f.Empty(f.deliveries(head.ID))
	f.Zero(f.upcoming())
	f.add(head)
}
