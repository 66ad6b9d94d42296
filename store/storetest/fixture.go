package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
)

const (
	patience = 10 * time.Second // bounds every wait for a condition
	long     = time.Hour        // a lease that does not run out during a test
	brief    = 30 * time.Millisecond
)

// fixture is an open store at a place of its own, with what the rules share.
// Its assertions end the test, so they belong in the test's goroutine only.
type fixture struct {
	*require.Assertions
	store.Store
	t     testing.TB
	h     Harness
	place string
	// beside is another store that has the place open, in a race between two.
	beside *fixture
	ctx    context.Context
}

func newFixture(t testing.TB, h Harness) *fixture {
	t.Helper()
	f := newPlace(t, h)
	f.open()
	t.Cleanup(func() { f.NoError(f.Close()) })
	return f
}

// newPlace is a fixture whose store is still to be opened, and to be closed.
func newPlace(t testing.TB, h Harness) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return &fixture{Assertions: require.New(t), t: t, h: h, place: h.New(t), ctx: ctx}
}

func (f *fixture) open() {
	f.t.Helper()
	s, err := f.h.Open(f.place)
	f.NoError(err)
	f.Store = s
}

func (f *fixture) reopen() {
	f.t.Helper()
	f.NoError(f.Close())
	f.open()
}

// eventually waits until the condition holds.
func (f *fixture) eventually(condition func() bool, what string) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(end) {
			f.FailNow("waited in vain: " + what)
		}
	}
}

// insert adds records that must all be accepted, and returns their heads.
func (f *fixture) insert(in ...store.Insertion) []store.Head {
	f.t.Helper()
	results, err := f.Insert(f.ctx, in)
	f.NoError(err)
	heads := f.heads(results, len(in))
	for _, r := range results {
		f.False(r.Existing)
	}
	return heads
}

// add inserts a head with one event and returns it as it is kept.
func (f *fixture) add(head store.Head) store.Head {
	f.t.Helper()
	return f.insert(insertion(head, 1))[0]
}

// apply makes one change that must succeed, and returns the new head.
func (f *fixture) apply(c store.Change) store.Head {
	f.t.Helper()
	results, err := f.Apply(f.ctx, []store.Change{c})
	f.NoError(err)
	return f.heads(results, 1)[0]
}

// remove deletes records, which must succeed.
func (f *fixture) remove(heads ...store.Head) {
	f.t.Helper()
	results, err := f.Delete(f.ctx, refs(heads...))
	f.NoError(err)
	f.heads(results, len(heads))
}

// heads returns the heads of results that must all be good.
func (f *fixture) heads(results []store.Result, n int) []store.Head {
	f.t.Helper()
	f.Len(results, n)
	heads := make([]store.Head, n)
	for i, r := range results {
		f.NoError(r.Err, "item %d", i)
		heads[i] = r.Head
	}
	return heads
}

func (f *fixture) get(id ulid.ULID) store.Record {
	f.t.Helper()
	r, err := f.Get(f.ctx, id)
	f.NoError(err)
	return r
}

func (f *fixture) gone(id ulid.ULID) {
	f.t.Helper()
	_, err := f.Get(f.ctx, id)
	f.ErrorIs(err, store.ErrNotFound)
}

// claim takes up to limit records of a lane with a long lease.
func (f *fixture) claim(lane string, limit int) []store.Record {
	f.t.Helper()
	return f.claimFor(lane, limit, "worker", long)
}

func (f *fixture) claimFor(lane string, limit int, worker string, lease time.Duration) []store.Record {
	f.t.Helper()
	c := store.Claim{Worker: worker, Lane: lane, Limit: limit, Lease: lease}
	records, err := f.Claim(f.ctx, c, begin)
	f.NoError(err)
	return records
}

// send takes up to limit deliveries with a long lease.
func (f *fixture) send(limit int) []store.Delivery {
	f.t.Helper()
	return f.sendAs(store.DeliveryClaim{Limit: limit})
}

// sendAs takes deliveries as c says, with a long lease if it has none.
func (f *fixture) sendAs(c store.DeliveryClaim) []store.Delivery {
	f.t.Helper()
	c.Worker = "sender"
	if c.Lease == 0 {
		c.Lease = long
	}
	d, err := f.ClaimDeliveries(f.ctx, c)
	f.NoError(err)
	return d
}

// settle records how one attempt at each delivery ended, which must succeed.
func (f *fixture) settle(state store.DeliveryState, list ...store.Delivery) {
	f.t.Helper()
	var batch []store.Settlement
	for _, d := range list {
		batch = append(batch, settlement(d, state))
	}
	for i, err := range f.settled(batch...) {
		f.NoError(err, "item %d", i)
	}
}

// settled returns what became of each settlement.
func (f *fixture) settled(batch ...store.Settlement) []error {
	f.t.Helper()
	errs, err := f.SettleDeliveries(f.ctx, batch)
	f.NoError(err)
	f.Len(errs, len(batch))
	return errs
}

func (f *fixture) deliveries(id ulid.ULID) []store.Delivery {
	f.t.Helper()
	d, err := f.Deliveries(f.ctx, id)
	f.NoError(err)
	return d
}

func (f *fixture) backlog() int {
	f.t.Helper()
	n, err := f.Backlog(f.ctx)
	f.NoError(err)
	return n
}

func (f *fixture) events(id ulid.ULID) []store.Event {
	f.t.Helper()
	e, err := f.Events(f.ctx, id, 0, 10_000)
	f.NoError(err)
	return e
}

func (f *fixture) overdue(limit int) []store.Head {
	f.t.Helper()
	heads, err := f.Overdue(f.ctx, limit)
	f.NoError(err)
	f.LessOrEqual(len(heads), limit)
	return append([]store.Head{}, heads...)
}

// isOverdue waits until the deadline of the record has passed.
func (f *fixture) isOverdue(id ulid.ULID) store.Head {
	f.t.Helper()
	var found store.Head
	f.eventually(func() bool {
		for _, h := range f.overdue(1000) {
			if h.ID == id {
				found = h
			}
		}
		return found.ID == id
	}, "record to be overdue")
	return found
}

// same asserts that a head is the wanted one as a store keeps it.
func (f *fixture) same(want, got store.Head) {
	f.t.Helper()
	f.Equal(plain(utc(want)), plain(got))
}
