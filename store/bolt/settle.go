package bolt

import (
	"bytes"
	"time"

	"github.com/foreman-go/foreman/store"
)

// settle returns what is to be said of this settlement, and apart from it what
// ends the transaction.
func (t *txn) settle(in *store.Settlement) (result, fatal error) {
	key := seqKey(in.ID, in.Seq)
	k, v := t.seek(bucketDeliveries, key)
	if !bytes.Equal(k, key) {
		return store.ErrNotFound, nil
	}
	var d store.Delivery
	if err := readDelivery(key, v, &d); err != nil {
		return err, nil // this one's damage, and nobody else's
	}
	k, _ = t.cursors[bucketDeliveries].Next()
	followed := bytes.HasPrefix(k, in.ID[:])
	if d.Attempt != in.Attempt {
		return store.ErrStale, nil
	}
	was, first := d.State == store.Pending, false
	if was {
		var err error
		if first, err = t.unindex(&d); err != nil {
			return nil, err
		}
		t.pending--
	}
	t.settled = append(t.settled, settled{deliveryKey{d.ID, d.Seq}, d.Attempt})
	d.State, d.Attempt, d.Log = in.State, d.Attempt+1, in.Log
	if d.State == store.Pending {
		d.Due = in.Due.UTC().Truncate(time.Microsecond)
		t.pending++
	}
	if err := t.putDelivery(&d); err != nil {
		return nil, err
	}
	switch {
	case d.State == store.Pending && first:
		return nil, t.index(&d)
	case d.State == store.Pending && !was:
		return nil, t.reopen(&d)
	case d.State == store.Pending:
		return nil, nil
	case !followed:
	case d.State == store.Stopped:
		fatal = t.stopFollowing(&d)
	case first:
		fatal = t.indexFollowing(&d)
	}
	if fatal == nil && t.get(bucketHeads, in.ID[:]) == nil {
		fatal = t.deleteSettled(in.ID) // its record went before it
	}
	return nil, fatal
}

// indexFollowing indexes the next pending delivery of the same record.
func (t *txn) indexFollowing(d *store.Delivery) error {
	next, ok := t.firstPending(d.ID, d.Seq+1)
	if !ok {
		return nil
	}
	return t.index(&next)
}

// reopen indexes a delivery that has become pending, if it is now the first of its
// record, in place of the one that was.
func (t *txn) reopen(d *store.Delivery) error {
	if earliest, ok := t.firstPending(d.ID, 0); ok && earliest.Seq < d.Seq {
		return nil
	}
	if next, ok := t.firstPending(d.ID, d.Seq+1); ok {
		if _, err := t.unindex(&next); err != nil {
			return err
		}
	}
	return t.index(d)
}

// stopFollowing settles every later pending delivery of the record like d, which is
// stopped.
func (t *txn) stopFollowing(d *store.Delivery) error {
	for {
		next, ok := t.firstPending(d.ID, d.Seq+1)
		if !ok {
			return nil
		}
		if _, err := t.unindex(&next); err != nil {
			return err
		}
		t.pending--
		t.settled = append(t.settled, settled{deliveryKey{next.ID, next.Seq}, next.Attempt})
		next.State = d.State
		if err := t.putDelivery(&next); err != nil {
			return err
		}
		d = &next
	}
}
