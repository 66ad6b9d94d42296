package storetest

import (
	"time"

	"github.com/foreman-go/foreman/store"
)

func backlogRules() []rule {
	return []rule{
		{"CountsPending", backlogCounts},
		{"NothingTwice", backlogTwice},
		{"OfDeletedRecords", backlogDeleted},
	}
}

func backlogCounts(f *fixture) {
	f.Zero(f.backlog())
	later := sending("endpoint", 3)
	later.Deliveries[0].Due = now().Add(time.Hour)
	heads := f.insert(sending("endpoint", 2), later, insertion(queued("lane"), 4))
	f.Equal(5, f.backlog(), "due, not due, and waiting for another")
	d := f.next(1)
	f.Equal(5, f.backlog(), "claimed ones too")
	f.settle(store.Pending, d)
	f.Equal(5, f.backlog())
	for i, state := range []store.DeliveryState{store.Delivered, store.Failed} {
		f.settle(state, f.next(uint64(i+1)))
		f.Equal(4-i, f.backlog())
	}
	f.notify(heads[0], 2)
	f.Equal(5, f.backlog())
	f.NoError(f.settled(untried(heads[1], 2, store.Superseded))[0])
	f.Equal(4, f.backlog())
	f.settle(store.Stopped, f.next(3))
	f.Equal(2, f.backlog(), "with those that are stopped after it")
	f.NoError(f.settled(reopening(heads[0], 1, 2), reopening(heads[0], 4, 0))[1])
	f.Equal(4, f.backlog())
}

// What changes nothing counts nothing.
func backlogTwice(f *fixture) {
	in := sending("endpoint", 3)
	head := f.insert(in)[0]
	f.ErrorIs(result(f.Insert(f.ctx, []store.Insertion{in})).Err, store.ErrExists)
	stale := change(head, store.Queued, 1)
	stale.Head.Version++
	stale.Deliveries = to("endpoint", stale.Events)
	f.ErrorIs(f.try(stale).Err, store.ErrStale)
	d := f.next(1)
	f.settle(store.Delivered, d)
	f.Error(f.settled(settlement(d, store.Delivered))[0])
	f.NoError(f.settled(store.Settlement{ID: d.ID, Seq: 1, Attempt: 1, State: store.Failed})[0])
	f.Equal(2, f.backlog())
	f.NoError(f.settled(untried(head, 3, store.Pending))[0])
	f.Equal(2, f.backlog())
}

func backlogDeleted(f *fixture) {
	heads := f.insert(sending("endpoint", 3), sending("other", 1))
	f.settle(store.Delivered, f.sendAs(store.DeliveryClaim{Limit: 9, Room: noRoom("other")})...)
	f.remove(heads...)
	f.Equal(3, f.backlog(), "they are still to be sent")
	f.settle(store.Failed, f.sendAs(store.DeliveryClaim{Limit: 9, Room: noRoom("other")})...)
	f.Equal(2, f.backlog())
	f.settle(store.Delivered, f.send(9)...)
	f.Equal(0, f.backlog())
}
