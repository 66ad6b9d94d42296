package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// emit writes the events of a change and the deliveries that they cause, and then the
// row, which says where they are.
func (t *txn) emit(r *row, events []store.Event, deliveries []store.Delivery) error {
	log := t.bucket(bucketLog)
	for i := range events {
		e := &events[i]
		pos, err := log.NextSequence()
		if err != nil {
			return err
		}
		v := t.values.take(idSize + 8 + 2 + len(r.Owner) + len(e.Data) + 4)
		v = binary.BigEndian.AppendUint64(append(v, r.ID[:]...), e.Seq)
		v = append(appendName(v, r.Owner), e.Data...)
		if err := log.Put(posKey(pos), seal(v)); err != nil {
			return err
		}
		r.events = append(r.events, pos)
	}
	if err := t.insertDeliveries(r, deliveries); err != nil {
		return err
	}
	return t.put(r)
}

// readEvent reads the event that is at a place of the log.
func readEvent(pos uint64, v []byte) (e store.Event, err error) {
	if v, err = open(v); err != nil {
		return e, err
	}
	if len(v) < idSize+8 {
		return e, fmt.Errorf("%w: an event is cut short", store.ErrDamaged)
	}
	owner, data := cutName(v[idSize+8:])
	e.ID = ulid.ULID(v[:idSize])
	e.Seq = binary.BigEndian.Uint64(v[idSize:])
	e.Pos = pos
	e.Owner = string(owner)
	e.Data = bytes.Clone(data)
	return e, nil
}

// Events implements [store.Records].
func (s *Store) Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]store.Event, error) {
	var out []store.Event
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.view(func(t *txn) error {
		r, ok, err := t.row(id)
		if err != nil || !ok || after >= uint64(len(r.events)) {
			return err
		}
		for _, pos := range r.events[after:] {
			if len(out) == limit {
				break
			}
			e, err := readEvent(pos, t.get(bucketLog, posKey(pos)))
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// Feed implements [store.Records].
func (s *Store) Feed(ctx context.Context, q store.FeedQuery) (store.FeedPage, error) {
	p := store.FeedPage{Next: q.After}
	if err := ctx.Err(); err != nil {
		return p, err
	}
	limit := max(q.Limit, 1)
	err := s.view(func(t *txn) error {
		if q.After+1 == 0 {
			return nil
		}
		c := t.bucket(bucketLog).Cursor()
		seen := 0
		for k, v := c.Seek(posKey(q.After + 1)); k != nil; k, v = c.Next() {
			if len(p.Events) == limit || seen == scan {
				p.More = true
				return nil
			}
			seen++
			p.Next = posAt(k)
			if isBlob(k) {
				continue
			}
			e, err := readEvent(posAt(k), v)
			if err != nil {
				return err
			}
			if q.Owner == "" || e.Owner == q.Owner {
				p.Events = append(p.Events, e)
			}
		}
		return nil
	})
	return p, err
}
