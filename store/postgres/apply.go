package postgres

import (
	"context"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

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
