package bolt

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// emit writes the events of a change, and the deliveries that they cause.
func (t *txn) emit(h *store.Head, events []store.Event, deliveries []store.Delivery) error {
	feed := t.bucket(bucketFeed)
	for i := range events {
		e := &events[i]
		pos, err := feed.NextSequence()
		if err != nil {
			return err
		}
		key := seqKey(h.ID, e.Seq)
		v := make([]byte, 0, 8+len(e.Data)+4)
		v = append(binary.BigEndian.AppendUint64(v, pos), e.Data...)
		if err := t.bucket(bucketEvents).Put(key, seal(v)); err != nil {
			return err
		}
		if err := feed.Put(posKey(pos), append(key, h.Owner...)); err != nil {
			return err
		}
	}
	for i := range deliveries {
		if err := t.insertDelivery(h.ID, &deliveries[i]); err != nil {
			return err
		}
	}
	return nil
}

func decodeEvent(k, v []byte) (e store.Event, err error) {
	if v, err = open(v); err != nil {
		return e, err
	}
	e.ID = ulid.ULID(k[:idSize])
	e.Seq = binary.BigEndian.Uint64(k[idSize:])
	e.Pos = posAt(v)
	e.Data = bytes.Clone(v[8:])
	return e, nil
}

// Events implements [store.Records].
func (s *Store) Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]store.Event, error) {
	var out []store.Event
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.view(func(t *txn) error {
		h, ok, err := t.head(id)
		if err != nil || !ok || after >= h.Seq {
			return err
		}
		c := t.bucket(bucketEvents).Cursor()
		for k, v := c.Seek(seqKey(id, after+1)); bytes.HasPrefix(k, id[:]) && len(out) < limit; k, v = c.Next() {
			e, err := decodeEvent(k, v)
			if err != nil {
				return err
			}
			e.Owner = h.Owner
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
		c := t.bucket(bucketFeed).Cursor()
		seen := 0
		for k, v := c.Seek(posKey(q.After + 1)); k != nil; k, v = c.Next() {
			if len(p.Events) == limit || seen == scan {
				p.More = true
				return nil
			}
			seen++
			p.Next = posAt(k)
			key, owner := v[:idSize+8], v[idSize+8:]
			if q.Owner != "" && string(owner) != q.Owner {
				continue
			}
			e, err := decodeEvent(key, t.bucket(bucketEvents).Get(key))
			if err != nil {
				return err
			}
			e.Owner = string(owner)
			p.Events = append(p.Events, e)
		}
		return nil
	})
	return p, err
}

func (t *txn) deleteEvents(id ulid.ULID) error {
	var keys, feed [][]byte
	c := t.bucket(bucketEvents).Cursor()
	for k, v := c.Seek(id[:]); bytes.HasPrefix(k, id[:]); k, v = c.Next() {
		keys = append(keys, bytes.Clone(k))
		feed = append(feed, posKey(posAt(v)))
	}
	for i, k := range keys {
		if err := t.bucket(bucketEvents).Delete(k); err != nil {
			return err
		}
		if err := t.bucket(bucketFeed).Delete(feed[i]); err != nil {
			return err
		}
	}
	return nil
}
