package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

type deliveryKey struct {
	id  ulid.ULID
	seq uint64
}

// leases holds which deliveries are hidden, and until when. They are kept in
// memory: nobody else can have the file open, and when the process dies its
// deliveries must be sent again anyway. Whoever needs mu and a transaction takes
// mu first.
type leases struct {
	mu    sync.Mutex
	until map[deliveryKey]time.Time
}

// hides reports whether a delivery is hidden. mu is held.
func (l *leases) hides(k deliveryKey, now time.Time) bool {
	until, ok := l.until[k]
	if ok && !until.After(now) {
		delete(l.until, k)
		return false
	}
	return ok
}

func (l *leases) drop(k deliveryKey) {
	l.mu.Lock()
	delete(l.until, k)
	l.mu.Unlock()
}

// insertDelivery adds a delivery. It is indexed only if it is the first of its
// record that is pending; settling that one indexes the next.
func (t *txn) insertDelivery(id ulid.ULID, d *store.Delivery) error {
	row := *d
	row.ID = id
	row.State = store.Pending
	row.Due = row.Due.UTC().Truncate(time.Microsecond)
	if err := t.putDelivery(&row); err != nil {
		return err
	}
	if err := t.bucket(bucketBodies).Put(seqKey(id, row.Seq), seal(append(make([]byte, 0, len(row.Body)+4), row.Body...))); err != nil {
		return err
	}
	before, ok, err := t.before(id, row.Seq)
	if err != nil || ok && before.State == store.Pending {
		return err
	}
	return t.index(&row)
}

// before reads the delivery of the same record that precedes seq.
func (t *txn) before(id ulid.ULID, seq uint64) (d store.Delivery, ok bool, err error) {
	c := t.bucket(bucketDeliveries).Cursor()
	c.Seek(seqKey(id, seq))
	k, v := c.Prev()
	if !bytes.HasPrefix(k, id[:]) {
		return d, false, nil
	}
	d, err = readDelivery(k, v)
	return d, true, err
}

func readDelivery(k, v []byte) (d store.Delivery, err error) {
	if v, err = open(v); err != nil {
		return d, err
	}
	d.ID = ulid.ULID(k[:idSize])
	d.Seq = binary.BigEndian.Uint64(k[idSize:])
	return d, decodeDelivery(v, &d)
}

func (t *txn) putDelivery(d *store.Delivery) error {
	return t.bucket(bucketDeliveries).Put(seqKey(d.ID, d.Seq), seal(appendDelivery(nil, d)))
}

// index puts a pending delivery that is the first of its record where it will
// be found when it is due.
func (t *txn) index(d *store.Delivery) error {
	if d.Due.After(t.now) {
		return t.bucket(bucketUnsent).Put(unsentKey(d.Due, d.ID, d.Seq), present)
	}
	return t.bucket(bucketSendable).Put(sendableKey(d.Endpoint, d.ID, d.Seq), present)
}

func (t *txn) unindex(d *store.Delivery) error {
	if err := t.bucket(bucketUnsent).Delete(unsentKey(d.Due, d.ID, d.Seq)); err != nil {
		return err
	}
	return t.bucket(bucketSendable).Delete(sendableKey(d.Endpoint, d.ID, d.Seq))
}

// promoteDeliveries makes deliveries sendable whose time has come.
func (t *txn) promoteDeliveries() error {
	var due [][]byte
	c := t.bucket(bucketUnsent).Cursor()
	for k, _ := c.First(); k != nil && len(due) < promotion && !timeAt(k).After(t.now); k, _ = c.Next() {
		due = append(due, bytes.Clone(k))
	}
	for _, k := range due {
		if err := t.bucket(bucketUnsent).Delete(k); err != nil {
			return err
		}
		d, err := readDelivery(k[8:], t.bucket(bucketDeliveries).Get(k[8:]))
		if err != nil {
			continue // Deliveries reports it
		}
		if err := t.index(&d); err != nil {
			return err
		}
	}
	return nil
}

// ClaimDeliveries implements [store.Outbox].
func (s *Store) ClaimDeliveries(ctx context.Context, c store.DeliveryClaim) ([]store.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var due bool
	err := s.view(func(t *txn) error {
		k, _ := t.bucket(bucketUnsent).Cursor().First()
		due = k != nil && !timeAt(k).After(t.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if due {
		if err := s.write(ctx, (*txn).promoteDeliveries); err != nil {
			return nil, err
		}
	}
	// Held over the transaction: a settlement drops its lease only when it is
	// durable, so what the transaction shows as pending and unhidden is so.
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	var out []store.Delivery
	err = s.view(func(t *txn) error {
		var err error
		out, err = t.sendable(&c)
		return err
	})
	if err != nil {
		return nil, err
	}
	until := now().Add(c.Lease)
	for i := range out {
		s.leases.until[deliveryKey{out[i].ID, out[i].Seq}] = until
	}
	return out, nil
}

// sendable reads deliveries that can be claimed, endpoint by endpoint, from the
// one after c.After round to it again. The leases' mu is held.
func (t *txn) sendable(c *store.DeliveryClaim) ([]store.Delivery, error) {
	var out []store.Delivery
	cur := t.bucket(bucketSendable).Cursor()
	first := after(appendName(nil, c.After))
	k, _ := cur.Seek(first)
	wrapped := false
	for len(out) < c.Limit {
		if k == nil {
			if wrapped {
				break
			}
			wrapped = true
			k, _ = cur.First()
			continue
		}
		if wrapped && bytes.Compare(k, first) >= 0 {
			break
		}
		endpoint, _ := cutName(k)
		prefix := bytes.Clone(k[:2+len(endpoint)])
		if !skipped(c.Skip, endpoint) {
			var err error
			if out, err = t.sendableTo(prefix, c, out); err != nil {
				return nil, err
			}
		}
		k, _ = cur.Seek(after(prefix))
	}
	return out, nil
}

// sendableTo adds the deliveries of one endpoint.
func (t *txn) sendableTo(prefix []byte, c *store.DeliveryClaim, out []store.Delivery) ([]store.Delivery, error) {
	most := c.Limit
	if c.PerEndpoint > 0 {
		most = min(most, len(out)+c.PerEndpoint)
	}
	cur := t.bucket(bucketSendable).Cursor()
	for k, _ := cur.Seek(prefix); bytes.HasPrefix(k, prefix) && len(out) < most; k, _ = cur.Next() {
		key := k[len(prefix):]
		if t.store.leases.hides(asDeliveryKey(key), t.now) {
			continue
		}
		d, err := readDelivery(key, t.bucket(bucketDeliveries).Get(key))
		if err != nil {
			continue // Deliveries reports it
		}
		body, err := open(t.bucket(bucketBodies).Get(key))
		if err != nil {
			continue // there is nothing to send
		}
		d.Body = bytes.Clone(body)
		out = append(out, d)
	}
	return out, nil
}

func asDeliveryKey(k []byte) deliveryKey {
	return deliveryKey{ulid.ULID(k[:idSize]), binary.BigEndian.Uint64(k[idSize:])}
}

func skipped(names []string, name []byte) bool {
	for _, n := range names {
		if n == string(name) {
			return true
		}
	}
	return false
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

// nextDelivery is when a delivery that is not hidden becomes due. The leases' mu
// is held.
func (t *txn) nextDelivery() (time.Time, error) {
	var next time.Time
	c := t.bucket(bucketSendable).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		key := k[len(k)-idSize-8:]
		if t.store.leases.hides(asDeliveryKey(key), t.now) {
			continue
		}
		if d, err := readDelivery(key, t.bucket(bucketDeliveries).Get(key)); err == nil {
			next = d.Due
			break
		}
	}
	if k, _ := t.bucket(bucketUnsent).Cursor().First(); k != nil {
		next = earliest(next, timeAt(k))
	}
	return next, nil
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
	for i := range in {
		if out[i] == nil {
			s.leases.drop(deliveryKey{in[i].ID, in[i].Seq})
		}
	}
	return out, nil
}

// settle returns what is to be said of this settlement, and apart from it what
// ends the transaction.
func (t *txn) settle(in *store.Settlement) (result, fatal error) {
	key := seqKey(in.ID, in.Seq)
	v := t.bucket(bucketDeliveries).Get(key)
	if v == nil {
		return store.ErrNotFound, nil
	}
	old, err := readDelivery(key, v)
	if err != nil {
		return nil, err
	}
	before, ok, err := t.before(in.ID, in.Seq)
	if err != nil {
		return nil, err
	}
	if old.State != store.Pending || old.Attempt != in.Attempt || ok && before.State == store.Pending {
		return store.ErrStale, nil
	}
	if err := t.unindex(&old); err != nil {
		return nil, err
	}
	d := old
	d.State, d.Attempt, d.Log = in.State, old.Attempt+1, in.Log
	if d.State == store.Pending {
		d.Due = in.Due.UTC().Truncate(time.Microsecond)
		if err := t.putDelivery(&d); err != nil {
			return nil, err
		}
		return nil, t.index(&d)
	}
	if err := t.putDelivery(&d); err != nil {
		return nil, err
	}
	if err := t.indexFollowing(&d); err != nil {
		return nil, err
	}
	if t.bucket(bucketHeads).Get(in.ID[:]) == nil {
		return nil, t.deleteSettled(in.ID) // its record went before it
	}
	return nil, nil
}

// indexFollowing indexes the next pending delivery of the same record.
func (t *txn) indexFollowing(d *store.Delivery) error {
	c := t.bucket(bucketDeliveries).Cursor()
	k, v := c.Seek(seqKey(d.ID, d.Seq+1))
	if !bytes.HasPrefix(k, d.ID[:]) {
		return nil
	}
	next, err := readDelivery(k, v)
	if err != nil || next.State != store.Pending {
		return err
	}
	return t.index(&next)
}

// deleteSettled removes the deliveries of a record that are not pending.
func (t *txn) deleteSettled(id ulid.ULID) error {
	var keys [][]byte
	c := t.bucket(bucketDeliveries).Cursor()
	for k, v := c.Seek(id[:]); bytes.HasPrefix(k, id[:]); k, v = c.Next() {
		d, err := readDelivery(k, v)
		if err != nil {
			return err
		}
		if d.State != store.Pending {
			keys = append(keys, bytes.Clone(k))
		}
	}
	for _, k := range keys {
		if err := t.bucket(bucketDeliveries).Delete(k); err != nil {
			return err
		}
		if err := t.bucket(bucketBodies).Delete(k); err != nil {
			return err
		}
	}
	return nil
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
			d, err := readDelivery(k, v)
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	})
	return out, err
}
