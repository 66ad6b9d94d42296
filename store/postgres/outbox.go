package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// outbox is the deliveries of one record, in order of sequence. Whoever has one has
// locked all of them, and the front.
type outbox struct {
	list   []*notice
	front  front
	was    front // as the database has it
	exists bool  // the record did, when this was read
}

// notice is a delivery, without what need not be known.
type notice struct {
	store.Delivery
	until time.Time // the end of a lease, if that is not in the front
	fresh bool      // it is to be inserted
	dirty bool      // it is to be updated
	gone  bool      // it is to be deleted
}

// front is where the earliest pending delivery of a record is found; zero if there is
// none. at is zero if it can be sent now.
type front struct {
	seq      uint64
	endpoint string
	at       time.Time
	leased   bool // at is the end of a lease
}

// queueOutboxes locks and reads the outboxes that are wanted. Others add to an outbox
// only when they have locked what is in it; what they added while this transaction
// waited is seen by the second statement, which comes after the locks.
func (t *txn) queueOutboxes() {
	var ids []ulid.ULID
	for _, id := range keysOf(t.boxes) {
		if t.outboxes[id] == nil {
			ids = append(ids, id)
			t.outboxes[id] = &outbox{}
		}
	}
	clear(t.boxes)
	if len(ids) == 0 {
		return
	}
	wanted := uuids(ids, self)
	t.queue(`SELECT FROM @.deliveries d WHERE d.id = ANY ($1::uuid[]) ORDER BY d.id, d.seq FOR UPDATE`, wanted)
	t.queue(`SELECT d.id, d.seq, d.endpoint, d.state, d.attempt, d.due, d.until FROM @.deliveries d
		WHERE d.id = ANY ($1::uuid[]) ORDER BY d.id, d.seq`, wanted).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			n := &notice{}
			err := rows.Scan((*key)(&n.ID), &n.Seq, (*text)(&n.Endpoint), (*text)(&n.State), &n.Attempt, (*moment)(&n.Due), (*moment)(&n.until))
			if err != nil {
				return err
			}
			box := t.outboxes[n.ID]
			box.list = append(box.list, n)
		}
		return rows.Err()
	})
	t.queue(`SELECT f.id, f.seq, f.endpoint, f.at, f.leased FROM @.fronts f
		WHERE f.id = ANY ($1::uuid[]) ORDER BY f.id FOR UPDATE`, wanted).Query(func(rows pgx.Rows) error {
		var id ulid.ULID
		var f front
		_, err := pgx.ForEachRow(rows, []any{(*key)(&id), &f.seq, (*text)(&f.endpoint), (*moment)(&f.at), &f.leased}, func() error {
			t.outboxes[id].front, t.outboxes[id].was = f, f
			return nil
		})
		return err
	})
	t.queue(`SELECT h.id FROM @.heads h WHERE h.id = ANY ($1::uuid[]) ORDER BY h.id`, wanted).Query(func(rows pgx.Rows) error {
		var id ulid.ULID
		_, err := pgx.ForEachRow(rows, []any{(*key)(&id)}, func() error {
			t.outboxes[id].exists = true
			return nil
		})
		return err
	})
}

// outbox is that of a record; it is read if it was not.
func (t *txn) outbox(id ulid.ULID) (*outbox, error) {
	if box := t.outboxes[id]; box != nil {
		return box, nil
	}
	t.boxes[id] = true
	t.queueOutboxes()
	t.queueNow()
	err := t.send()
	return t.outboxes[id], err
}

// isGone reports whether there is no such record any more.
func (t *txn) isGone(id ulid.ULID) bool {
	if e := t.entries[id]; e != nil {
		return e.cur == nil
	}
	return !t.outboxes[id].exists
}

// hasPending reports whether the outbox, as far as it is known, has anything.
func (t *txn) hasPending(id ulid.ULID) bool {
	box := t.outboxes[id]
	return box != nil && box.firstPending(0) != nil
}

// firstPending is the earliest pending delivery from a sequence on, or nil.
func (b *outbox) firstPending(from uint64) *notice {
	for _, n := range b.list {
		if !n.gone && n.Seq >= from && n.State == store.Pending {
			return n
		}
	}
	return nil
}

// insertDeliveries adds deliveries that come after all that the record has.
func (t *txn) insertDeliveries(r *row, list []store.Delivery) error {
	box, err := t.outbox(r.ID)
	if err != nil {
		return err
	}
	last := store.DeliveryState("") // the state of the one before
	for _, n := range box.list {
		if !n.gone {
			last = n.State
		}
	}
	for i := range list {
		n := &notice{Delivery: list[i], fresh: true}
		n.ID, n.State, n.Due = r.ID, store.Pending, micro(list[i].Due)
		if last == store.Stopped {
			n.State = store.Stopped
		}
		last = n.State
		waits := box.firstPending(0) != nil
		box.list = append(box.list, n)
		if n.State != store.Pending {
			continue
		}
		t.count(countPending, "", 1)
		if !waits {
			t.index(box, n)
		}
	}
	return nil
}

// index puts a delivery in front, to be found when it is due and nobody has it.
func (t *txn) index(b *outbox, n *notice) {
	b.front = front{seq: n.Seq, endpoint: n.Endpoint}
	if n.Due.After(t.now) {
		b.front.at = n.Due
	}
	if n.until.After(t.now) && n.until.After(b.front.at) {
		b.front.at, b.front.leased = n.until, true
	}
}

// deleteSettled removes the deliveries that are not pending.
func (b *outbox) deleteSettled() {
	for _, n := range b.list {
		if n.State != store.Pending {
			n.gone, n.dirty = true, true
		}
	}
}

// queueDeliveries writes what was changed in outboxes.
func (t *txn) queueDeliveries() {
	type line struct {
		id ulid.ULID
		front
	}
	var fresh, dirty, gone []*notice
	var put []line
	var drop []ulid.ULID
	for _, id := range keysOf(t.outboxes) {
		b := t.outboxes[id]
		for _, n := range b.list {
			switch {
			case n.gone && n.fresh:
			case n.fresh:
				fresh = append(fresh, n)
			case n.gone && n.dirty:
				gone = append(gone, n)
			case n.dirty:
				dirty = append(dirty, n)
			}
			n.fresh, n.dirty = false, false
		}
		switch {
		case b.front == b.was:
		case b.front.seq == 0:
			drop = append(drop, id)
		default:
			put = append(put, line{id, b.front})
		}
		if b.front != b.was && b.was != (front{}) {
			t.removed++
		}
		b.was = b.front
	}
	id := func(n **notice) ulid.ULID { return (*n).ID }
	seq := func(n **notice) uint64 { return (*n).Seq }
	if len(gone) > 0 {
		for _, table := range []string{"deliveries", "bodies"} {
			t.queue(`DELETE FROM @.`+table+` WHERE ctid = ANY (ARRAY(SELECT
					(SELECT x.ctid FROM @.`+table+` x WHERE x.id = u.id AND x.seq = u.seq)
				FROM unnest($1::uuid[], $2::bigint[]) u (id, seq)))`,
				uuids(gone, id), numbers(gone, seq))
		}
	}
	state := func(n **notice) store.DeliveryState { return (*n).State }
	attempt := func(n **notice) int { return (*n).Attempt }
	due := func(n **notice) time.Time { return (*n).Due }
	log := func(n **notice) []byte { return (*n).Log }
	if len(fresh) > 0 {
		t.queue(`INSERT INTO @.deliveries (id, seq, endpoint, url, state, attempt, due, log)
			SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::timestamptz[], $8::bytea[])`,
			uuids(fresh, id), numbers(fresh, seq),
			texts(fresh, func(n **notice) string { return (*n).Endpoint }), texts(fresh, func(n **notice) string { return (*n).URL }),
			texts(fresh, state), numbers(fresh, attempt), times(fresh, due), byteas(fresh, log))
		t.queue(`INSERT INTO @.bodies SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[])`,
			uuids(fresh, id), numbers(fresh, seq), byteas(fresh, func(n **notice) []byte { return blob((*n).Body) }))
	}
	if len(dirty) > 0 { // what has no log keeps the one it had
		t.queue(`UPDATE @.deliveries d SET state = u.state, attempt = u.attempt, due = u.due, until = u.until, log = coalesce(u.log, d.log)
			FROM (SELECT (SELECT x.ctid FROM @.deliveries x WHERE x.id = u.id AND x.seq = u.seq) AS place, u.*
				FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::bytea[])
					u (id, seq, state, attempt, due, until, log) OFFSET 0) u
			WHERE d.ctid = u.place`,
			uuids(dirty, id), numbers(dirty, seq), texts(dirty, state), numbers(dirty, attempt), times(dirty, due),
			times(dirty, func(n **notice) time.Time { return (*n).until }), byteas(dirty, log))
	}
	if len(drop) > 0 {
		t.queue(`DELETE FROM @.fronts WHERE id = ANY ($1::uuid[])`, uuids(drop, self))
	}
	if len(put) > 0 {
		t.queue(`INSERT INTO @.fronts SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::boolean[])
			ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, endpoint = excluded.endpoint, at = excluded.at, leased = excluded.leased`,
			uuids(put, func(l *line) ulid.ULID { return l.id }), numbers(put, func(l *line) uint64 { return l.seq }),
			texts(put, func(l *line) string { return l.endpoint }), times(put, func(l *line) time.Time { return l.at }),
			bools(put, func(l *line) bool { return l.leased }))
	}
}
