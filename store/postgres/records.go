package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Names must fit into the keys of an index together.
const (
	maxName = 1024
	maxURL  = 4096
	maxNote = 64 << 10
)

// Insert implements [store.Records]. Names and idempotency keys have at most 1024 bytes,
// and notes 64 KiB; what is longer is [store.ErrInvalid].
func (s *Store) Insert(ctx context.Context, in []store.Insertion) ([]store.Result, error) {
	out := make([]store.Result, len(in))
	size := 0
	for i := range in {
		size += len(in[i].Spec) + bytesOf(in[i].Events, in[i].Deliveries)
	}
	err := s.write(ctx, &op{
		size: size,
		want: func(t *txn) {
			t.promotes = true // what was due before gets its turn before
			for i := range in {
				t.wantNew(&in[i].Head)
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range in {
				if err := t.insert(&in[i], &out[i]); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func bytesOf(events []store.Event, deliveries []store.Delivery) (n int) {
	for i := range events {
		n += len(events[i].Data)
	}
	for i := range deliveries {
		n += len(deliveries[i].Body)
	}
	return n
}

func (t *txn) wantNew(h *store.Head) {
	t.ids[h.ID] = true
	t.fresh = append(t.fresh, h.ID)
	if h.IdempotencyKey != "" {
		t.keys[ownerKey{h.Owner, h.IdempotencyKey}] = struct{}{}
	}
	t.wantTurn(h)
}

func (t *txn) insert(in *store.Insertion, out *store.Result) error {
	r := &row{Head: in.Head}
	h := &r.Head
	h.Version = 1
	micros(h)
	if out.Err = check(h, 0, in.Events, in.Deliveries); out.Err != nil {
		return nil
	}
	k := ownerKey{h.Owner, h.IdempotencyKey}
	if h.IdempotencyKey != "" {
		if first := t.holder(k); first != nil {
			if !bytes.Equal(first.Fingerprint, h.Fingerprint) {
				out.Err = store.ErrKeyReused
				return nil
			}
			out.Head, out.Existing = copyHead(&first.Head), true
			return nil
		}
	}
	e := t.entry(h.ID)
	if e.cur != nil || t.orphans[h.ID] || t.hasPending(h.ID) {
		out.Err = store.ErrExists
		return nil
	}
	if e.old != nil { // it was deleted by this transaction
		if err := t.writeNow(); err != nil {
			return err
		}
	}
	r.turn = firstTurn
	if h.State == store.Queued && !h.RunAt.After(t.now) {
		if err := t.makeReady(r); err != nil {
			return err
		}
	}
	e.cur, e.dirty = r, true
	if h.IdempotencyKey != "" {
		t.holders[k] = r
	}
	t.specs = append(t.specs, data{h.ID, in.Spec})
	if t.outboxes[h.ID] == nil {
		t.outboxes[h.ID] = &outbox{}
	}
	out.Head = *h
	return t.emit(r, in.Events, in.Deliveries)
}

// holder is the record that has a key, as it is by now.
func (t *txn) holder(k ownerKey) *row {
	r := t.holders[k]
	if r == nil {
		return nil
	}
	if e := t.entries[r.ID]; e != nil {
		return e.cur
	}
	return r
}

// writeNow writes what was changed, so that it can be changed once more in a way that
// cannot be written together with it.
func (t *txn) writeNow() error {
	t.flush()
	return t.send()
}

// check finds what the caller got wrong.
func check(h *store.Head, seq uint64, events []store.Event, deliveries []store.Delivery) error {
	for _, n := range [...]string{h.Owner, h.Lane, h.Kind, h.IdempotencyKey, h.Worker, string(h.State)} {
		if len(n) > maxName {
			return tooLong(n, maxName)
		}
	}
	for i := range deliveries {
		d := &deliveries[i]
		if len(d.Endpoint) > maxName {
			return tooLong(d.Endpoint, maxName)
		}
		if len(d.URL) > maxURL {
			return tooLong(d.URL, maxURL)
		}
	}
	if len(h.Note) > maxNote {
		return fmt.Errorf("%w: a note of %d bytes, more than %d", store.ErrInvalid, len(h.Note), maxNote)
	}
	return store.Check(h, seq, events, deliveries)
}

func tooLong(name string, most int) error {
	return fmt.Errorf("%w: a name of %d bytes, more than %d", store.ErrInvalid, len(name), most)
}

// Get implements [store.Records].
func (s *Store) Get(ctx context.Context, id ulid.ULID) (store.Record, error) {
	var r row
	var spec, outcome []byte
	err := s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT `+columns+`, (SELECT data FROM @.specs WHERE id = h.id), (SELECT data FROM @.outcomes WHERE id = h.id)
			FROM @.heads h WHERE h.id = $1`), uuid(id)).QueryRow(func(got pgx.Row) error {
			r = row{}
			return got.Scan(r.into(&spec, &outcome)...)
		})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return store.Record{}, store.ErrNotFound
	}
	return store.Record{Head: r.Head, Spec: spec, Outcome: outcome}, err
}

// Apply implements [store.Records].
func (s *Store) Apply(ctx context.Context, list []store.Change) ([]store.Result, error) {
	out := make([]store.Result, len(list))
	size := 0
	for i := range list {
		size += len(list[i].Outcome) + bytesOf(list[i].Events, list[i].Deliveries)
	}
	err := s.write(ctx, &op{
		size: size,
		want: func(t *txn) {
			t.promotes = true
			for i := range list {
				t.ids[list[i].Head.ID] = true
				if len(list[i].Deliveries) > 0 {
					t.boxes[list[i].Head.ID] = true
				}
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range list {
				c := &list[i]
				e, ok := t.current(store.Ref{ID: c.Head.ID, Version: c.Head.Version}, &out[i])
				if !ok {
					continue
				}
				if err := t.apply(e, c, false, &out[i]); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// next is the head that a change makes of the present one, or why it cannot be made.
func next(old *store.Head, c *store.Change, claimed bool) (store.Head, error) {
	h := c.Head
	h.Version = old.Version + 1
	h.Owner, h.Created = old.Owner, old.Created
	h.IdempotencyKey, h.Fingerprint = old.IdempotencyKey, old.Fingerprint
	if old.State == store.Working && h.State == store.Working && !claimed {
		h.Deadline = old.Deadline
	}
	micros(&h)
	return h, check(&h, old.Seq, c.Events, c.Deliveries)
}

// apply makes a change from the record that it was made from.
func (t *txn) apply(e *entry, c *store.Change, claimed bool, out *store.Result) error {
	old := e.cur
	h, err := next(&old.Head, c, claimed)
	if err != nil {
		out.Err = err
		return nil
	}
	r := &row{Head: h}
	if err := t.moveQueued(old, r, claimed); err != nil {
		return err
	}
	e.cur, e.dirty = r, true
	if t.outcomes == nil {
		t.outcomes = map[ulid.ULID][]byte{}
	}
	switch {
	case h.State != store.Queued && c.Outcome != nil:
		t.outcomes[h.ID] = blob(c.Outcome)
	case h.State == store.Queued: // whoever gave it one, and when
		t.outcomes[h.ID] = nil
	}
	out.Head = h
	return t.emit(r, c.Events, c.Deliveries)
}

// moveQueued finds out whether a record that was changed is ready, and its turn.
func (t *txn) moveQueued(old, r *row, claimed bool) error {
	queued := r.State == store.Queued
	delayed := queued && r.RunAt.After(t.now)
	front := old.State == store.Working
	if old.State == store.Queued {
		front = old.turn == frontTurn
		if queued && !delayed && old.ready && levelOf(&r.Head) == levelOf(&old.Head) {
			r.turn, r.ready = old.turn, true
			return nil
		}
		if old.ready {
			t.leave(old, claimed)
		}
	}
	if !queued {
		return nil
	}
	r.turn = firstTurn
	if front {
		r.turn = frontTurn
	}
	if delayed {
		return nil
	}
	return t.makeReady(r)
}

// emit adds the events of a change and the deliveries that they cause.
func (t *txn) emit(r *row, events []store.Event, deliveries []store.Delivery) error {
	for i := range events {
		e := events[i]
		e.ID, e.Owner = r.ID, r.Owner
		t.events = append(t.events, e)
	}
	if len(deliveries) == 0 {
		return nil
	}
	return t.insertDeliveries(r, deliveries)
}

// Delete implements [store.Records].
func (s *Store) Delete(ctx context.Context, refs []store.Ref) ([]store.Result, error) {
	out := make([]store.Result, len(refs))
	err := s.write(ctx, &op{
		want: func(t *txn) {
			for _, r := range refs {
				t.ids[r.ID], t.boxes[r.ID] = true, true
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range refs {
				e, ok := t.current(refs[i], &out[i])
				if !ok {
					continue
				}
				out[i].Head = e.cur.Head
				if err := t.delete(e); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *txn) delete(e *entry) error {
	id := e.cur.ID
	if e.old == nil { // it was inserted by this transaction
		if err := t.writeNow(); err != nil {
			return err
		}
	}
	if e.cur.ready {
		t.leave(e.cur, false)
	}
	e.cur, e.dirty = nil, true
	box, err := t.outbox(id)
	if err != nil {
		return err
	}
	box.deleteSettled()
	return nil
}

// promotion bounds how many records one transaction makes ready.
const promotion = 1000

// queuePromotion reads the records whose time has come.
func (t *txn) queuePromotion() {
	if !t.promotes {
		return
	}
	t.queue(`SELECT `+columns+` FROM @.delayed d JOIN @.heads h ON h.id = d.id
		WHERE d.run_at <= statement_timestamp() AND h.class = 0 AND NOT h.ready AND h.run_at = d.run_at
		ORDER BY d.run_at, d.id LIMIT $1 FOR UPDATE OF h SKIP LOCKED`, promotion).Query(func(rows pgx.Rows) error {
		t.due = nil
		return eachRow(rows, func(r *row) error {
			t.due = append(t.due, r.ID)
			return t.keep(r)
		})
	})
}

// promote makes them ready, in the order in which they became due.
func (t *txn) promote() error {
	for _, id := range t.due {
		e := t.entries[id]
		if e.cur.turn != frontTurn {
			t.shares[shareOf(&e.cur.Head)] = struct{}{} // all in one question
		}
	}
	if len(t.shares) > 0 {
		t.queueTurns()
		if err := t.send(); err != nil {
			return err
		}
	}
	for _, id := range t.due {
		e := t.entries[id]
		r := *e.cur
		if err := t.makeReady(&r); err != nil {
			return err
		}
		e.cur, e.dirty = &r, true
	}
	t.promoted, t.due = len(t.due), nil
	return nil
}
