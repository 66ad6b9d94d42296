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
	for due := true; due; {
		err := s.view(func(t *txn) error {
			k, _ := t.bucket(bucketUnsent).Cursor().First()
			due = k != nil && !timeAt(k).After(t.now)
			return nil
		})
		if err == nil && due {
			err = s.write(ctx, (*txn).promoteDeliveries)
		}
		if err != nil {
			return nil, err
		}
	}
	// Held over the transaction: a lease ends only when the settlement is durable, so
	// what the transaction shows as pending and unhidden is so.
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	var out []store.Delivery
	err := s.view(func(t *txn) error {
		s.leases.expire(t.now)
		t.claimDeliveries(&c, &out)
		return nil
	})
	if err != nil {
		s.leases.undo(out)
		return nil, err
	}
	return out, nil
}

// claimDeliveries takes deliveries endpoint by endpoint, from the one after c.After
// round to it again. The leases' mu is held.
func (t *txn) claimDeliveries(c *store.DeliveryClaim, out *[]store.Delivery) {
	others := c.PerEndpoint
	if others <= 0 {
		others = c.Limit
	}
	cur := t.bucket(bucketSendable).Cursor()
	first := after(appendName(nil, c.After))
	wrapped := false
	for k, _ := cur.Seek(first); len(*out) < c.Limit; {
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
			t.claimTo(string(endpoint), min(c.Limit, len(*out)+most), c.Lease, out)
		}
		k, _ = cur.Seek(next)
	}
}

// claimTo takes deliveries to one endpoint until there are so many.
func (t *txn) claimTo(endpoint string, most int, lasts time.Duration, out *[]store.Delivery) {
	t.unhidden(endpoint, func(key []byte) bool {
		if len(*out) >= most {
			return false
		}
		d := store.Delivery{Endpoint: endpoint}
		if err := readDelivery(key, t.bucket(bucketDeliveries).Get(key), &d); err != nil {
			return true // Deliveries reports it
		}
		body, err := open(t.bucket(bucketBodies).Get(key))
		if err != nil {
			return true // there is nothing to send
		}
		d.Body = bytes.Clone(body)
		t.store.leases.hold(&lease{
			key: deliveryKey{d.ID, d.Seq}, endpoint: endpoint, attempt: d.Attempt, until: t.now.Add(lasts),
		})
		*out = append(*out, d)
		return true
	})
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
