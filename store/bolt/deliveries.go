package bolt

import (
	"bytes"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Of the pending deliveries of a record the earliest, and no other, is in exactly one
// of bucketSendable and bucketUnsent. One whose time has come stays in bucketUnsent
// until promoteDeliveries moves it.
//
// One whose row cannot be read is in nobody's way, and whoever meets it notes it: it is
// then in bucketUnsent, more than once perhaps, until a claim has failed it.

// settled is a delivery that was settled at this attempt: its lease ends.
type settled struct {
	key     deliveryKey
	attempt int
}

// sendingTo is a delivery that has become sendable.
type sendingTo struct {
	key      deliveryKey
	endpoint string
}

// readDelivery reads all but the body. What d.Endpoint has already, if it is the same,
// is kept.
func readDelivery(k, v []byte, d *store.Delivery) (err error) {
	if v, err = open(v); err != nil {
		return err
	}
	key := asDeliveryKey(k)
	d.ID, d.Seq = key.id, key.seq
	return decodeDelivery(v, d)
}

func (t *txn) putDelivery(d *store.Delivery) error {
	n := 64 + len(d.Endpoint) + len(d.URL) + len(d.Log)
	return t.bucket(bucketDeliveries).Put(seqKey(d.ID, d.Seq), seal(appendDelivery(t.values.take(n), d)))
}

// insertDeliveries adds deliveries that come after all that the record has.
func (t *txn) insertDeliveries(r *row, list []store.Delivery) error {
	if len(list) == 0 {
		return nil
	}
	last, waits := store.DeliveryState(""), false // the state of the one before, and whether any before is pending
	if r.Version > 1 {                            // a new record has none
		t.eachDelivery(r.ID, 0, func(k, v []byte) bool {
			var err error
			if last, err = stateOf(v); err != nil {
				t.noteDamaged(k)
			} else if last == store.Pending {
				waits = true
			}
			return true
		})
	}
	for i := range list {
		d := list[i]
		d.ID, d.State = r.ID, store.Pending
		if last == store.Stopped {
			d.State = store.Stopped
		}
		last = d.State
		if err := t.addDelivery(&d, waits); err != nil {
			return err
		}
		waits = waits || d.State == store.Pending
	}
	return nil
}

// addDelivery adds a delivery as it is; waits says whether one before it is pending.
func (t *txn) addDelivery(d *store.Delivery, waits bool) error {
	d.Due = d.Due.UTC().Truncate(time.Microsecond)
	if err := t.putDelivery(d); err != nil {
		return err
	}
	if err := t.bucket(bucketBodies).Put(seqKey(d.ID, d.Seq), seal(append(t.values.take(len(d.Body)+4), d.Body...))); err != nil {
		return err
	}
	if d.State != store.Pending {
		return nil
	}
	t.pending++
	if waits {
		return nil
	}
	return t.index(d)
}

// eachDelivery visits the deliveries of a record from a sequence on, until visit
// returns false. visit changes nothing.
func (t *txn) eachDelivery(id ulid.ULID, from uint64, visit func(k, v []byte) bool) {
	c := t.bucket(bucketDeliveries).Cursor()
	for k, v := c.Seek(seqKey(id, from)); bytes.HasPrefix(k, id[:]); k, v = c.Next() {
		if !visit(k, v) {
			return
		}
	}
}

// firstPending reads the earliest delivery of a record from a sequence on that is
// pending; ok is false if there is none. Those that cannot be read are noted.
func (t *txn) firstPending(id ulid.ULID, from uint64) (d store.Delivery, ok bool) {
	t.eachDelivery(id, from, func(k, v []byte) bool {
		state, err := stateOf(v)
		if err == nil && state != store.Pending {
			return true
		}
		if ok = err == nil && readDelivery(k, v, &d) == nil; !ok {
			t.noteDamaged(k)
		}
		return !ok
	})
	return d, ok
}

// noteDamaged has the next claim fail a delivery whose row cannot be read.
func (t *txn) noteDamaged(key []byte) { t.damaged = append(t.damaged, asDeliveryKey(key)) }

func (t *txn) flushDamaged() error {
	for _, k := range t.damaged {
		key := seqKey(k.id, k.seq)
		v := t.get(bucketDeliveries, key)
		if v == nil || readDelivery(key, v, &store.Delivery{}) == nil {
			continue // it is gone, or has failed, since
		}
		if err := t.bucket(bucketUnsent).Put(unsentKey(t.now, k.id, k.seq), present); err != nil {
			return err
		}
	}
	return nil
}

// index puts the first pending delivery of a record where it will be found when it is
// due.
func (t *txn) index(d *store.Delivery) error {
	if d.Due.After(t.now) {
		return t.bucket(bucketUnsent).Put(unsentKey(d.Due, d.ID, d.Seq), present)
	}
	t.sendable = append(t.sendable, sendingTo{deliveryKey{d.ID, d.Seq}, d.Endpoint})
	return t.bucket(bucketSendable).Put(sendableKey(d.Endpoint, d.ID, d.Seq), present)
}

// unindex is the reverse, and reports whether the delivery was indexed: whether it was
// the first of its record.
func (t *txn) unindex(d *store.Delivery) (bool, error) {
	found, err := t.remove(bucketSendable, sendableKey(d.Endpoint, d.ID, d.Seq))
	if found || err != nil {
		return found, err
	}
	return t.remove(bucketUnsent, unsentKey(d.Due, d.ID, d.Seq))
}

func (t *txn) isIndexed(d *store.Delivery) bool {
	return t.get(bucketSendable, sendableKey(d.Endpoint, d.ID, d.Seq)) != nil ||
		t.get(bucketUnsent, unsentKey(d.Due, d.ID, d.Seq)) != nil
}

// promoteDeliveries makes deliveries sendable whose time has come. Those that cannot be
// read are failed.
func (t *txn) promoteDeliveries(failed *[]store.Delivery) error {
	var due [][]byte
	c := t.bucket(bucketUnsent).Cursor()
	for k, _ := c.First(); k != nil && len(due) < promotion && !timeAt(k).After(t.now); k, _ = c.Next() {
		due = append(due, bytes.Clone(k))
	}
	for _, k := range due {
		if err := t.bucket(bucketUnsent).Delete(k); err != nil {
			return err
		}
		var d store.Delivery
		var err error
		switch {
		case readDelivery(k[8:], t.get(bucketDeliveries, k[8:]), &d) != nil:
			err = t.fail(k[8:], "", failed)
		case d.State == store.Pending: // else it was noted, and has failed
			err = t.index(&d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteSettled removes the deliveries of a record that are not pending. Those that
// cannot be read are noted, and go when they have failed.
func (t *txn) deleteSettled(id ulid.ULID) error {
	var keys [][]byte
	t.eachDelivery(id, 0, func(k, v []byte) bool {
		if state, err := stateOf(v); err != nil {
			t.noteDamaged(k)
		} else if state != store.Pending {
			keys = append(keys, bytes.Clone(k))
		}
		return true
	})
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
