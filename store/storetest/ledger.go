package storetest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// ledger is what the parent of a writer knows to be durable, and what may have
// happened besides because it was on its way.
type ledger struct {
	*fixture
	lives    map[ulid.ULID]*life
	notices  map[place]*attempts
	seen     map[place]uint64 // positions, as they were at the last check
	position uint64           // the highest of them
	pending  int              // deliveries, as counted by the present check
}

// life is what is known of a record.
type life struct {
	version  uint64      // at least
	state    store.State // at that version
	deleting uint64      // the version at which it may have been deleted, or 0
	deleted  bool        // for certain
}

// attempts is how many attempts at a delivery were settled.
type attempts struct {
	certain, possible int
}

func newLedger(f *fixture) *ledger {
	return &ledger{fixture: f, lives: map[ulid.ULID]*life{}, notices: map[place]*attempts{}, seen: map[place]uint64{}}
}

func (l *ledger) hear(said line) {
	switch said.What {
	case lineKept:
		l.know(said.ID, said.Version, said.State)
	case lineDeleting:
		l.know(said.ID, said.Version, done)
		l.lives[said.ID].deleting = said.Version
	case lineDeleted:
		l.lives[said.ID].deleted = true
	case lineSettling:
		a := l.attempts(place{said.ID, said.Seq})
		a.possible = max(a.possible, said.Attempt+1)
	case lineSettled:
		a := l.attempts(place{said.ID, said.Seq})
		a.certain = max(a.certain, said.Attempt+1)
	}
}

// know takes note of a version. Lines of different callers about one record may
// come in any order.
func (l *ledger) know(id ulid.ULID, version uint64, state store.State) {
	known := l.lives[id]
	if known == nil {
		known = &life{}
		l.lives[id] = known
	}
	if version > known.version {
		known.version, known.state = version, state
	}
}

func (l *ledger) attempts(p place) *attempts {
	if l.notices[p] == nil {
		l.notices[p] = &attempts{}
	}
	return l.notices[p]
}

// check reads everything and holds it against the ledger.
func (l *ledger) check() {
	l.t.Helper()
	listed := map[ulid.ULID]store.Head{}
	feed := map[place]uint64{}
	ready := map[string]int{}
	working := []ulid.ULID{}
	l.pending = 0
	for _, h := range l.list(store.Query{Limit: 500}) {
		listed[h.ID] = h
		l.checkRecord(h, feed)
		switch h.State {
		case store.Queued:
			ready[h.Lane]++
		case store.Working:
			working = append(working, h.ID)
		}
		if l.lives[h.ID] != nil {
			l.False(l.lives[h.ID].deleted, "%s is back", h.ID)
		}
		l.know(h.ID, h.Version, h.State)
	}
	for id, known := range l.lives {
		if _, ok := listed[id]; ok {
			known.deleting = 0 // it did not happen
			continue
		}
		l.NotZero(known.deleting, "%s is lost", id)
		known.deleted = true
		l.checkGone(id, known)
	}
	l.Equal(l.pending, l.backlog())
	l.checkFeed(feed)
	l.checkKeys(listed)
	l.Equal(ready, l.ready(), "lanes")
	l.eventually(func() bool { return len(l.overdue(len(working)+1)) == len(working) }, "leases of the dead writer to run out")
	l.ElementsMatch(working, ids(l.overdue(len(working)+1)...))
}

// checkRecord finds a record whole, and at least as new as it is known to be.
func (l *ledger) checkRecord(h store.Head, feed map[place]uint64) {
	l.t.Helper()
	if known := l.lives[h.ID]; known != nil {
		l.GreaterOrEqual(h.Version, known.version, "%s has gone back", h.ID)
		if h.Version == known.version {
			l.Equal(known.state, h.State)
		}
	}
	r := l.get(h.ID)
	l.same(h, r.Head)
	l.Equal(spec(h.ID), r.Spec)
	l.Equal(writerNote(h.Version), r.Note)
	l.Equal(h.Version, h.Seq)
	if h.State.Ended() {
		l.Equal(outcome(h.ID), r.Outcome)
	} else {
		l.Nil(r.Outcome)
	}
	events := l.events(h.ID)
	l.Len(events, int(h.Seq))
	for i, e := range events {
		l.EqualValues(i+1, e.Seq)
		l.Equal(eventData(h.ID, e.Seq), e.Data)
		feed[place{e.ID, e.Seq}] = e.Pos
	}
	l.checkDeliveries(h.ID, h.Seq, false)
}

func (l *ledger) checkGone(id ulid.ULID, known *life) {
	l.t.Helper()
	l.gone(id)
	l.Empty(l.events(id))
	l.checkDeliveries(id, known.deleting, true)
}

// checkDeliveries finds every delivery that a record of so many events caused.
// Of one that was deleted, those are gone that may have been settled.
func (l *ledger) checkDeliveries(id ulid.ULID, last uint64, gone bool) {
	l.t.Helper()
	found := map[uint64]store.Delivery{}
	for _, d := range l.deliveries(id) {
		l.NotContains(found, d.Seq)
		l.True(d.Seq <= last && hasNotice(id, d.Seq), "delivery %d of %s was never made", d.Seq, id)
		found[d.Seq] = d
	}
	stopped, mayBeStopped := false, false // an earlier one was, or may have been
	for seq := uint64(1); seq <= last; seq++ {
		if !hasNotice(id, seq) {
			continue
		}
		a := l.attempts(place{id, seq})
		d, ok := found[seq]
		settled := mayBeStopped
		for n := max(a.certain, 1); n <= a.possible; n++ {
			end := attemptEnd(id, seq, n-1)
			settled = settled || end != store.Pending
			mayBeStopped = mayBeStopped || end == store.Stopped
		}
		if !ok {
			l.True(gone && settled, "delivery %d of %s is lost", seq, id)
			continue
		}
		l.GreaterOrEqual(d.Attempt, a.certain, "delivery %d of %s has gone back", seq, id)
		l.LessOrEqual(d.Attempt, a.possible, "nobody made this attempt")
		state, log := store.Pending, []byte(nil)
		for n := range d.Attempt {
			state = attemptEnd(id, seq, n)
			log = settlement(store.Delivery{Attempt: n, Log: log}, state).Log
		}
		if stopped {
			l.Zero(d.Attempt)
			state = store.Stopped
		}
		stopped = stopped || state == store.Stopped
		if state == store.Pending {
			l.pending++
		}
		l.Equal(state, d.State)
		l.Equal(string(log), string(d.Log))
		if gone {
			l.Equal(store.Pending, d.State, "settled deliveries go with their record")
		}
		a.certain = max(a.certain, d.Attempt)
	}
}

// checkFeed finds in the feed just the events that the records have.
func (l *ledger) checkFeed(want map[place]uint64) {
	l.t.Helper()
	got := map[place]uint64{}
	last := l.position
	for _, e := range l.feed(store.FeedQuery{Limit: 500}) {
		p := place{e.ID, e.Seq}
		got[p] = e.Pos
		if old, known := l.seen[p]; known {
			l.Equal(old, e.Pos, "an event has moved")
		} else {
			l.Greater(e.Pos, l.position, "whoever follows the feed would not see this event")
		}
		last = max(last, e.Pos)
	}
	l.True(maps.Equal(want, got), "the feed has other events than the records")
	l.seen, l.position = got, last
}

// checkKeys finds keys with the records that have them, and no others.
func (l *ledger) checkKeys(listed map[ulid.ULID]store.Head) {
	l.t.Helper()
	const sample = 100
	var batch []store.Insertion
	var found []store.Head
	for id, h := range listed {
		if len(batch) < sample {
			again := writerInsertion(id)
			again.Head.ID, again.Head.Seq, again.Events, again.Deliveries = ulid.Make(), 0, nil, nil
			batch, found = append(batch, again), append(found, h)
		}
	}
	results, err := l.Insert(l.ctx, batch)
	l.NoError(err)
	for i, h := range l.heads(results, len(batch)) {
		l.True(results[i].Existing)
		l.same(found[i], h)
	}

	var free []store.Insertion
	for id, known := range l.lives {
		if known.deleted && len(free) < sample {
			h := queued("keys")
			h.Owner, h.IdempotencyKey, h.Fingerprint = "owner", id.String(), bytes.Repeat([]byte{1}, 16)
			free = append(free, insertion(h, 0))
		}
	}
	l.remove(l.insert(free...)...)
}

// workOff sends what is to be sent, ends and deletes every record, and expects
// nothing to be left.
func (l *ledger) workOff() {
	l.t.Helper()
	pending := 0
	for id := range l.lives {
		for _, d := range l.deliveries(id) {
			if d.State == store.Pending {
				pending++
			}
		}
	}
	l.eventually(func() bool {
		list := l.send(500)
		for _, d := range list {
			l.Equal(body(d.ID, d.Seq), d.Body)
		}
		l.settle(store.Delivered, list...)
		pending -= len(list)
		return pending <= 0
	}, "deliveries to be claimed")
	l.Zero(pending)
	l.Zero(l.backlog())

	for _, h := range l.overdue(100_000) {
		l.apply(writerChange(h, store.Queued))
	}
	for lane, n := range l.ready() {
		var want []store.Head
		for _, h := range l.list(store.Query{State: store.Queued, Limit: 500}) {
			if h.Lane == lane {
				want = append(want, h)
			}
		}
		positions := map[ulid.ULID]int{}
		for _, h := range want {
			ahead, ready, err := l.Position(l.ctx, h.ID, n)
			l.NoError(err)
			l.True(ready)
			positions[h.ID] = ahead
		}
		slices.SortFunc(want, func(a, b store.Head) int {
			began := func(h store.Head) int { return min(h.Attempt, 1) }
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), began(b)-began(a), cmp.Compare(positions[a.ID], positions[b.ID]))
		})
		l.Equal(ids(want...), recordIDs(l.claim(lane, n+1)))
	}
	l.remove(l.list(store.Query{Limit: 500})...)
	l.eventually(func() bool {
		list := l.send(500)
		l.settle(store.Delivered, list...)
		return len(list) == 0
	}, "deliveries of deleted records to be settled")
	for id := range l.lives {
		l.Empty(l.deliveries(id))
	}
	l.Empty(l.list(store.Query{Limit: 500}))
	l.Empty(l.feed(store.FeedQuery{Limit: 500}))
	l.Empty(l.lanes())
	l.Empty(l.overdue(10))
	l.Zero(l.upcoming())
}
