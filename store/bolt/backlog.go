package bolt

import "github.com/foreman-go/foreman/store"

// backlog is how many deliveries are pending. It is a number in the file that every
// transaction brings up to date.
func (t *txn) backlog() int { return int(posAt(t.get(bucketMeta, backlogKey))) }

func (t *txn) flushBacklog() error {
	if t.recount {
		return t.putBacklog()
	}
	if t.pending == 0 {
		return nil
	}
	n := max(int64(t.backlog())+t.pending, 0)
	return t.bucket(bucketMeta).Put(backlogKey, posKey(uint64(n)))
}

// countBacklog counts what is pending, once, in a file that was made before the number
// was kept.
func (t *txn) countBacklog() error {
	if t.get(bucketMeta, backlogKey) != nil {
		return nil
	}
	return t.putBacklog()
}

// putBacklog counts what is pending and can be read.
func (t *txn) putBacklog() error {
	n := uint64(0)
	c := t.bucket(bucketDeliveries).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if state, err := stateOf(v); err == nil && state == store.Pending {
			n++
		}
	}
	return t.bucket(bucketMeta).Put(backlogKey, posKey(n))
}
