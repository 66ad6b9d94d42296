package storetest

import (
	"bytes"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func outboxRules() []rule {
	return []rule{
		{"EveryField", deliveryEveryField},
		{"ExactBytes", deliveryBytes},
		{"InOrder", deliveryOrder},
		{"InOrderAcrossChanges", deliveryOrderAcrossChanges},
		{"NotBeforeDue", deliveryDue},
		{"FirstHoldsBackRest", deliveryBlocked},
		{"Retry", deliveryRetry},
		{"RetryLater", deliveryRetryLater},
		{"Fence", deliveryFence},
		{"MixedBatch", deliveryMixedBatch},
		{"Hidden", deliveryHidden},
		{"LeaseRunsOut", deliveryLeaseRunsOut},
		{"Limit", deliveryLimit},
		{"Listed", deliveryListed},
	}
}

func deliveryEveryField(f *fixture) {
	in := insertion(queued("lane"), 2)
	due := time.Now().Add(-time.Hour).In(time.FixedZone("somewhere", -3600)).Truncate(time.Second).Add(123456 * time.Microsecond)
	in.Deliveries = []store.Delivery{{
		ID: in.Head.ID, Seq: 2, Endpoint: "endpoint", URL: "http://127.0.0.1/hook?a=b#c",
		State: store.Pending, Due: due, Log: []byte("log"), Body: []byte("body"),
	}}
	f.insert(in)

	want := in.Deliveries[0]
	want.Due = due.UTC()
	f.Equal([]store.Delivery{want}, f.send(10))

	s := store.Settlement{ID: want.ID, Seq: 2, State: store.Pending, Due: due.Add(time.Minute), Log: []byte("more")}
	f.NoError(f.settled(s)[0])
	want.Attempt, want.Due, want.Log = 1, due.Add(time.Minute).UTC(), []byte("more")
	f.Equal([]store.Delivery{want}, f.send(10))
}

func deliveryBytes(f *fixture) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := [][]byte{{}, {0}, []byte("\r\n \n"), every, bytes.Repeat(every, 4096)}
	in := insertion(queued("lane"), len(bodies))
	in.Deliveries = to("endpoint", in.Events)
	for i := range bodies {
		in.Deliveries[i].Body = bodies[i]
	}
	f.insert(in)
	for i, want := range bodies {
		for attempt := range 2 { // the bytes do not change from attempt to attempt
			d := f.send(1)
			f.Len(d, 1)
			f.Equal(attempt, d[0].Attempt)
			f.True(bytes.Equal(want, d[0].Body), "body %d", i)
			f.settle([]store.DeliveryState{store.Pending, store.Delivered}[attempt], d[0])
		}
	}
}

func deliveryOrder(f *fixture) {
	in := sending("a", 4)
	in.Deliveries[1].Endpoint, in.Deliveries[3].Endpoint = "b", "b"
	f.insert(in)
	for i, state := range []store.DeliveryState{store.Delivered, store.Failed, store.Delivered, store.Failed} {
		d := f.send(10)
		f.Len(d, 1, "one of a record at a time")
		f.EqualValues(i+1, d[0].Seq)
		f.Equal(in.Deliveries[i].Endpoint, d[0].Endpoint)
		f.Empty(f.send(10), "the next waits for the one that is being sent")
		f.settle(state, d[0])
	}
	f.Empty(f.send(10))
}

func deliveryOrderAcrossChanges(f *fixture) {
	head := f.insert(sending("endpoint", 1))[0]
	notify := func() {
		f.t.Helper()
		c := change(head, store.Queued, 1)
		c.Deliveries = to("endpoint", c.Events)
		head = f.apply(c)
	}
	next := func(seq uint64) store.Delivery {
		f.t.Helper()
		d := f.send(10)
		f.Len(d, 1)
		f.Equal(seq, d[0].Seq)
		return d[0]
	}
	notify()
	first := next(1)
	notify()
	f.Empty(f.send(10), "the first is being sent")
	f.settle(store.Pending, first)
	f.settle(store.Delivered, next(1))
	second := next(2)
	f.settle(store.Failed, second)
	f.settle(store.Delivered, next(3))
	f.Empty(f.send(10))
	head = f.apply(change(head, store.Queued, 1)) // an event without a delivery
	notify()
	f.settle(store.Delivered, next(5))
	f.Empty(f.send(10))
}

func deliveryDue(f *fixture) {
	far, soon, past := sending("endpoint", 1), sending("endpoint", 1), sending("endpoint", 1)
	far.Deliveries[0].Due = now().Add(time.Hour)
	soon.Deliveries[0].Due = now().Add(10 * brief)
	past.Deliveries[0].Due = now().Add(-time.Hour)
	f.insert(far, soon, past)
	var got []ulid.ULID
	f.eventually(func() bool {
		for _, d := range f.send(10) {
			got = append(got, d.ID)
		}
		return len(got) >= 2
	}, "delivery to become due")
	f.ElementsMatch([]ulid.ULID{past.Head.ID, soon.Head.ID}, got)
	f.Empty(f.send(10))
}

// However long the later ones have been due, they wait for the first.
func deliveryBlocked(f *fixture) {
	in := sending("endpoint", 3)
	in.Deliveries[0].Due = now().Add(time.Hour)
	in.Deliveries[1].Due = now().Add(-time.Hour)
	f.insert(in)
	f.Empty(f.send(10))
}

func deliveryRetry(f *fixture) {
	f.insert(sending("endpoint", 2))
	var log []byte
	for attempt := range 4 {
		d := f.send(10)
		f.Len(d, 1)
		f.EqualValues(1, d[0].Seq, "a retry goes before the next")
		f.Equal(attempt, d[0].Attempt)
		f.Equal(string(log), string(d[0].Log))
		log = settlement(d[0], store.Pending).Log
		f.settle(store.Pending, d[0])
	}
	d := f.send(10)[0]
	f.settle(store.Failed, d)
	f.EqualValues(2, f.send(10)[0].Seq)

	kept := f.deliveries(d.ID)[0]
	f.Equal(store.Failed, kept.State)
	f.Equal(5, kept.Attempt)
	f.Equal(settlement(d, store.Failed).Log, kept.Log)
}

func deliveryRetryLater(f *fixture) {
	id := f.insert(sending("endpoint", 2))[0].ID
	s := settlement(f.send(10)[0], store.Pending)
	s.Due = now().Add(time.Hour)
	f.NoError(f.settled(s)[0])
	f.Empty(f.send(10), "not before it is due, and neither the next")
	f.Equal(s.Due, f.deliveries(id)[0].Due)

	s.Attempt, s.Due = 1, now().Add(brief)
	f.NoError(f.settled(s)[0])
	f.eventually(func() bool {
		d := f.send(10)
		if len(d) == 1 {
			f.Equal(2, d[0].Attempt)
			f.EqualValues(1, d[0].Seq)
		}
		return len(d) == 1
	}, "retry to become due")
}

func deliveryFence(f *fixture) {
	id := f.insert(sending("endpoint", 2))[0].ID
	d := f.send(10)[0]
	f.settle(store.Pending, d)
	for _, attempt := range []int{0, 2, -1} {
		for _, state := range []store.DeliveryState{store.Delivered, store.Pending, store.Failed} {
			s := settlement(d, state)
			s.Attempt = attempt
			f.ErrorIs(f.settled(s)[0], store.ErrStale)
		}
	}
	kept := f.deliveries(id)
	f.Equal(store.Pending, kept[0].State)
	f.Equal(1, kept[0].Attempt)
	f.Equal(settlement(d, store.Pending).Log, kept[0].Log)

	d = f.send(10)[0]
	f.settle(store.Delivered, d)
	f.ErrorIs(f.settled(settlement(d, store.Failed))[0], store.ErrStale, "settled by somebody else")
	f.Equal(store.Delivered, f.deliveries(id)[0].State)
}

func deliveryMixedBatch(f *fixture) {
	heads := f.insert(sending("endpoint", 2), sending("endpoint", 1))
	claimed := f.send(10)
	f.Len(claimed, 2)
	a, b := claimed[0], claimed[1]
	if a.ID != heads[0].ID {
		a, b = b, a
	}
	stale, unknown, noSuchEvent := settlement(a, store.Failed), settlement(a, store.Failed), settlement(a, store.Failed)
	unknown.ID, noSuchEvent.Seq = ulid.Make(), 9
	errs := f.settled(unknown, settlement(a, store.Delivered), stale, noSuchEvent, settlement(b, store.Failed))
	f.ErrorIs(errs[0], store.ErrNotFound)
	f.NoError(errs[1])
	f.ErrorIs(errs[2], store.ErrStale, "twice in one batch")
	f.ErrorIs(errs[3], store.ErrNotFound)
	f.NoError(errs[4])
	f.Equal(store.Delivered, f.deliveries(a.ID)[0].State)
	f.Equal(store.Failed, f.deliveries(b.ID)[0].State)
	next := f.send(10)
	f.Len(next, 1)
	f.EqualValues(2, next[0].Seq)
}

func deliveryHidden(f *fixture) {
	f.insert(sending("endpoint", 1), sending("endpoint", 1), sending("other", 1))
	seen := map[ulid.ULID]bool{}
	for range 3 {
		d := f.send(1)
		f.Len(d, 1)
		f.False(seen[d[0].ID], "hidden from other claimers")
		seen[d[0].ID] = true
	}
	f.Empty(f.send(10))
}

func deliveryLeaseRunsOut(f *fixture) {
	in := sending("endpoint", 2)
	f.insert(in)
	first := f.sendAs(store.DeliveryClaim{Limit: 1, Lease: brief})[0]
	var again []store.Delivery
	f.eventually(func() bool { again = f.send(10); return len(again) > 0 }, "lease of a delivery to run out")
	f.Len(again, 1)
	f.Equal(first.ID, again[0].ID)
	f.Equal(first.Seq, again[0].Seq, "not the next delivery")
	f.Equal(first.Attempt, again[0].Attempt)
	f.Equal(first.Body, again[0].Body)
	f.settle(store.Delivered, again[0])
	f.ErrorIs(f.settled(settlement(first, store.Failed))[0], store.ErrStale, "the slow sender is late")
}

func deliveryLimit(f *fixture) {
	for range 5 {
		f.insert(sending("endpoint", 2))
	}
	f.Len(f.send(2), 2)
	f.Len(f.send(2), 2)
	f.Len(f.send(2), 1)
	f.Empty(f.send(2))
}

func deliveryListed(f *fixture) {
	in := sending("a", 3)
	in.Deliveries[2].Endpoint, in.Deliveries[1].Due = "b", now().Add(time.Hour)
	id := f.insert(in)[0].ID
	f.insert(sending("a", 1))
	d := f.send(1)
	f.Equal(id, d[0].ID)
	f.settle(store.Delivered, d[0])

	list := f.deliveries(id)
	f.Len(list, 3)
	for i, got := range list {
		want := in.Deliveries[i]
		f.EqualValues(i+1, got.Seq)
		f.Equal(id, got.ID)
		f.Equal(want.Endpoint, got.Endpoint)
		f.Equal(want.URL, got.URL)
		f.Empty(got.Body, "listed without bodies")
	}
	f.Equal(store.Delivered, list[0].State)
	f.Equal(1, list[0].Attempt)
	f.Equal(settlement(d[0], store.Delivered).Log, list[0].Log)
	f.Equal(store.Pending, list[1].State)
	f.Equal(in.Deliveries[1].Due, list[1].Due)
	f.Zero(list[2].Attempt)
}
