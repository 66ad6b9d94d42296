package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/foreman-go/foreman/store"
)

func raceReopen(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	f.settle(store.Delivered, f.next(1))
	got := make([]store.Result, racers)
	together(racers, func(i int) {
		errs, err := f.side(i).SettleDeliveries(f.ctx, []store.Settlement{reopening(head, 1, 1)})
		if err != nil || len(errs) != 1 {
			errs = []error{fmt.Errorf("%d errors for one item: %w", len(errs), err)}
		}
		got[i].Err = errs[0]
	})
	f.oneWon(got, store.ErrStale)
	f.Equal(2, f.backlog())
	f.settle(store.Delivered, f.next(1))
	f.settle(store.Delivered, f.next(2))
}

// Whichever comes first, a delivery that is stopped and one that is added after it: none
// is left to be sent.
func raceStop(f *fixture) {
	for range 20 {
		head := f.insert(sending("endpoint", 2))[0]
		d := f.next(1)
		errs := make([]error, 2)
		together(2, func(i int) {
			if i == 0 {
				e, err := f.side(i).SettleDeliveries(f.ctx, []store.Settlement{settlement(d, store.Stopped)})
				errs[i] = errors.Join(append(e, err)...)
				return
			}
			c := change(head, store.Queued, 1)
			c.Deliveries = to("endpoint", c.Events)
			errs[i] = result(f.side(i).Apply(f.ctx, []store.Change{c})).Err
		})
		f.NoError(errors.Join(errs...))
		f.Equal([]store.DeliveryState{store.Stopped, store.Stopped, store.Stopped}, f.states(head))
		f.Zero(f.backlog())
		f.next(0)
	}
}

// Everybody claims, settles and reopens anything, in any order. What is pending after
// that is sent, each record's in order, and nothing else.
func raceOutbox(f *fixture) {
	const records, each, rounds = 20, 4, 40
	var batch []store.Insertion
	for i := range records {
		batch = append(batch, sending(fmt.Sprint("endpoint ", i%3), each))
	}
	heads := f.insert(batch...)
	errs := make([]error, racers)
	together(racers, func(i int) {
		states := []store.DeliveryState{store.Delivered, store.Failed, store.Pending, store.Pending, store.Superseded, store.Stopped}
		for range rounds {
			list, err := f.side(i).ClaimDeliveries(f.ctx, store.DeliveryClaim{Worker: fmt.Sprint(i), Limit: 3, Lease: time.Millisecond})
			if err == nil {
				var more []store.Delivery
				more, err = f.side(i).Deliveries(f.ctx, heads[rand.IntN(records)].ID)
				list = append(list, more[rand.IntN(each)])
			}
			var s []store.Settlement
			for _, d := range list {
				s = append(s, settlement(d, states[rand.IntN(len(states))]))
			}
			if _, e := f.side(i).SettleDeliveries(f.ctx, s); err != nil || e != nil {
				errs[i] = errors.Join(err, e)
				return
			}
		}
	})
	f.NoError(errors.Join(errs...))

	want := map[place]bool{}
	for _, h := range heads {
		for _, d := range f.deliveries(h.ID) {
			if d.State == store.Pending {
				want[place{d.ID, d.Seq}] = true
			}
		}
	}
	f.Equal(len(want), f.backlog())
	last := map[string]uint64{}
	f.eventually(func() bool { // the last leases must run out
		for _, d := range f.send(10) {
			f.True(want[place{d.ID, d.Seq}])
			delete(want, place{d.ID, d.Seq})
			f.Greater(d.Seq, last[d.ID.String()], "in order")
			last[d.ID.String()] = d.Seq
			f.settle(store.Delivered, d)
		}
		return len(want) == 0
	}, "what is pending to be sent")
	f.Empty(f.send(10))
	f.Zero(f.backlog())
	f.Zero(f.upcoming().Delivery)
}
