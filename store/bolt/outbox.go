package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// ClaimDeliveries implements [store.Outbox].
func (s *Store) ClaimDeliveries(ctx context.Context, c store.DeliveryClaim) ([]store.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var failed []store.Delivery
	for due := true; due; {
		err := s.view(func(t *txn) error {
			k, _ := t.bucket(bucketUnsent).Cursor().First()
			due = k != nil && !timeAt(k).After(t.now)
			return nil
		})
		if err == nil && due {
			err = s.writeFailing(ctx, &failed, (*txn).promoteDeliveries)
		}
		if err != nil {
			return told(failed, err)
		}
	}
	claim := claiming{DeliveryClaim: c}
	if err := s.claimDeliveries(&claim); err != nil {
		return told(failed, err)
	}
	if len(claim.damaged) > 0 {
		err := s.writeFailing(ctx, &failed, func(t *txn, failed *[]store.Delivery) error {
			return t.failDeliveries(claim.damaged, failed)
		})
		if err != nil {
			s.leases.mu.Lock()
			s.leases.undo(claim.out, claim.until)
			s.leases.mu.Unlock()
			return told(failed, err)
		}
	}
	return append(claim.out, failed...), nil
}

// writeFailing is write for what fails deliveries: they are added once that is durable.
func (s *Store) writeFailing(ctx context.Context, failed *[]store.Delivery, run func(*txn, *[]store.Delivery) error) error {
	var now []store.Delivery
	err := s.write(ctx, func(t *txn) error { return run(t, &now) })
	if err == nil {
		*failed = append(*failed, now...)
	}
	return err
}

// told ends a claim that went wrong. Nobody else will be told of what it has failed, so
// that comes first; the next claim meets the error again.
func told(failed []store.Delivery, err error) ([]store.Delivery, error) {
	if len(failed) > 0 {
		return failed, nil
	}
	return nil, err
}

// claiming is a claim under way.
type claiming struct {
	store.DeliveryClaim
	until   time.Time // when its leases run out
	out     []store.Delivery
	bytes   int64       // of their bodies
	full    bool        // there is no room for the bytes of the next one
	damaged []sendingTo // what was met and cannot be read
}

func (s *Store) claimDeliveries(c *claiming) error {
	// Held over the transaction: a lease ends only when the settlement is durable, so
	// what the transaction shows as pending and unhidden is so.
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	if c.Limit > 0 {
		const usual = 32
		c.out = make([]store.Delivery, 0, min(c.Limit, usual))
	}
	err := s.view(func(t *txn) error {
		s.leases.expire(t.now)
		c.until = t.now.Add(c.Lease)
		t.claimDeliveries(c)
		return nil
	})
	if err != nil {
		s.leases.undo(c.out, c.until)
	}
	return err
}

// claimDeliveries takes deliveries endpoint by endpoint, from the one after c.After
// round to it again. The leases' mu is held.
func (t *txn) claimDeliveries(c *claiming) {
	others := c.PerEndpoint
	if others == 0 {
		others = c.Limit
	}
	cur := t.bucket(bucketSendable).Cursor()
	first := after(appendName(nil, c.After))
	wrapped := false
	for k, _ := cur.Seek(first); len(c.out) < c.Limit && !c.full; {
		if k == nil {
			if wrapped {
				return
			}
			wrapped = true
			k, _ = cur.First()
			continue
		}
		if wrapped && bytes.Compare(k, first) >= 0 {
			return
		}
		endpoint, _ := cutName(k)
		most, named := c.Room[string(endpoint)]
		if !named {
			most = others
		}
		next := after(k[:2+len(endpoint)])
		if most > 0 {
			t.claimTo(string(endpoint), min(c.Limit, len(c.out)+most), c)
		}
		k, _ = cur.Seek(next)
	}
}

// claimTo takes deliveries to one endpoint until there are so many.
func (t *txn) claimTo(endpoint string, most int, c *claiming) {
	t.unhidden(endpoint, func(key []byte) bool {
		if len(c.out) >= most {
			return false
		}
		d := store.Delivery{Endpoint: endpoint}
		err := readDelivery(key, t.get(bucketDeliveries, key), &d)
		var body []byte
		if err == nil {
			body, err = open(t.get(bucketBodies, key))
		}
		if err != nil || d.State != store.Pending { // or it was noted, and has failed
			c.damaged = append(c.damaged, sendingTo{asDeliveryKey(key), endpoint})
			return true
		}
		if c.Bytes > 0 && len(c.out) > 0 && c.bytes+int64(len(body)) > c.Bytes {
			c.full = true
			return false
		}
		c.bytes += int64(len(body))
		d.Body = bytes.Clone(body)
		t.store.leases.hold(&lease{
			key: deliveryKey{d.ID, d.Seq}, endpoint: endpoint, attempt: d.Attempt, until: c.until,
		})
		c.out = append(c.out, d)
		return true
	})
}

// failDeliveries settles deliveries that cannot be read any more, and adds them to
// failed.
func (t *txn) failDeliveries(damaged []sendingTo, failed *[]store.Delivery) error {
	for _, x := range damaged {
		key := seqKey(x.key.id, x.key.seq)
		found, err := t.remove(bucketSendable, sendableKey(x.endpoint, x.key.id, x.key.seq))
		if err != nil {
			return err
		}
		if !found {
			continue // another claim has met it
		}
		if err := t.fail(key, x.endpoint, failed); err != nil {
			return err
		}
	}
	return nil
}

// fail settles a delivery because it cannot be read, unless it is settled already.
func (t *txn) fail(key []byte, endpoint string, failed *[]store.Delivery) error {
	d := store.Delivery{Endpoint: endpoint}
	v := t.get(bucketDeliveries, key)
	switch {
	case readDelivery(key, v, &d) != nil:
		k := asDeliveryKey(key)
		if v == nil && t.get(bucketHeads, k.id[:]) == nil {
			return nil // it went with its record
		}
		d = store.Delivery{ID: k.id, Seq: k.seq, Endpoint: endpoint, Due: t.now}
		t.recount = true // nobody knows whether it was pending
	case d.State != store.Pending:
		return nil
	default: // it is the body
		t.pending--
	}
	d.State = store.Failed
	if err := t.putDelivery(&d); err != nil {
		return err
	}
	*failed = append(*failed, store.Delivery{ID: d.ID, Seq: d.Seq, Endpoint: d.Endpoint, State: store.Failed, Attempt: d.Attempt})
	// Whoever passed it by may have indexed the first one already.
	if first, ok := t.firstPending(d.ID, 0); ok && !t.isIndexed(&first) {
		if err := t.index(&first); err != nil {
			return err
		}
	}
	if t.get(bucketHeads, d.ID[:]) == nil {
		return t.deleteSettled(d.ID)
	}
	return nil
}

// after is the first key that sorts after every key with this prefix, which is
// a name with its length in front and so never all 0xff.
func after(prefix []byte) []byte {
	b := bytes.Clone(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return b
}

// nextDelivery is when a delivery becomes due that is not due yet.
func (t *txn) nextDelivery() time.Time {
	if k, _ := t.bucket(bucketUnsent).Cursor().Seek(appendTime(nil, t.now.Add(time.Microsecond))); k != nil {
		return timeAt(k)
	}
	return time.Time{}
}

// SettleDeliveries implements [store.Outbox].
func (s *Store) SettleDeliveries(ctx context.Context, in []store.Settlement) ([]error, error) {
	out := make([]error, len(in))
	err := s.write(ctx, func(t *txn) error {
		for i := range in {
			var err error
			if out[i], err = t.settle(&in[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Deliveries implements [store.Outbox].
func (s *Store) Deliveries(ctx context.Context, id ulid.ULID) ([]store.Delivery, error) {
	var out []store.Delivery
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.view(func(t *txn) error {
		c := t.bucket(bucketDeliveries).Cursor()
		for k, v := c.Seek(id[:]); bytes.HasPrefix(k, id[:]); k, v = c.Next() {
			var d store.Delivery
			if err := readDelivery(k, v, &d); err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	})
	return out, err
}

// Backlog implements [store.Outbox].
func (s *Store) Backlog(ctx context.Context) (int, error) {
	var n int
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err := s.view(func(t *txn) error {
		n = t.backlog()
		return nil
	})
	return n, err
}
