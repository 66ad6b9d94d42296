package bolt

import (
	"bytes"
	"time"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"
)

// txn is one bbolt transaction, with what its operations share.
type txn struct {
	tx      *bbolt.Tx
	store   *Store
	now     time.Time // the store's clock, the same for the whole transaction
	buckets [bucketCount]*bbolt.Bucket
	cursors [bucketCount]*bbolt.Cursor // for get and remove
	lanes   map[string]int64           // how many ready keys each lane has gained
	turns   map[share]*turns           // of the owners whose ready records have changed
	least   map[level]uint64           // what leastTurn has found
	full    *bool                      // whether MaxSize is reached, once somebody asked
	last    *ulid.ULID                 // the highest id there is, once somebody asked
	values  *arena                     // of a transaction that writes: see take
	fresh   row                        // of the record that is being inserted

	promoted bool // promote has run

	damaged  []deliveryKey // of deliveries whose rows it has met and cannot be read
	recount  bool          // whether pending cannot be relied on
	pending  int64         // how many pending deliveries there are more than before
	settled  []settled     // whose leases end with the transaction
	sendable []sendingTo   // what it put in bucketSendable
}

// arena is memory for the values that one transaction puts. bbolt reads them until the
// transaction has ended, and no longer, so that the next one can have it.
type arena struct{ b []byte }

const arenaSize = 256 << 10

// take returns an empty value with room for n bytes. One that grows beyond it moves to
// memory of its own.
func (a *arena) take(n int) []byte {
	if cap(a.b)-len(a.b) < n {
		a.b = make([]byte, 0, max(n, arenaSize))
	}
	at := len(a.b)
	a.b = a.b[:at+n]
	return a.b[at : at : at+n]
}

func (a *arena) reset() { a.b = a.b[:0] }

// isNew reports whether there is no record of this id, nor deliveries of one that was
// deleted. Ids grow with time, so that most often it is enough to know the highest.
func (t *txn) isNew(id ulid.ULID) bool {
	if t.last == nil {
		t.last = &ulid.ULID{}
		if k, _ := t.bucket(bucketHeads).Cursor().Last(); k != nil {
			*t.last = ulid.ULID(k)
		}
		if k, _ := t.bucket(bucketDeliveries).Cursor().Last(); k != nil && bytes.Compare(k[:idSize], t.last[:]) > 0 {
			*t.last = ulid.ULID(k[:idSize])
		}
	}
	if id.Compare(*t.last) > 0 {
		*t.last = id
		return true
	}
	if t.get(bucketHeads, id[:]) != nil {
		return false
	}
	k, _ := t.bucket(bucketDeliveries).Cursor().Seek(id[:])
	return !bytes.HasPrefix(k, id[:])
}

func (t *txn) bucket(n int) *bbolt.Bucket {
	b := t.buckets[n]
	if b == nil {
		b = t.tx.Bucket(bucketNames[n])
		if f := fills[n]; f != 0 {
			b.FillPercent = f
		}
		t.buckets[n] = b
	}
	return b
}

// get returns the value of a key, or nil. It is Get of the bucket, with a cursor that
// later calls use again.
func (t *txn) get(n int, key []byte) []byte {
	if k, v := t.seek(n, key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

// remove deletes a key, if it is there.
func (t *txn) remove(n int, key []byte) (found bool, err error) {
	if k, _ := t.seek(n, key); !bytes.Equal(k, key) {
		return false, nil
	}
	return true, t.cursors[n].Delete()
}

func (t *txn) seek(n int, key []byte) (k, v []byte) {
	c := t.cursors[n]
	if c == nil {
		c = t.bucket(n).Cursor()
		t.cursors[n] = c
	}
	return c.Seek(key)
}

// atLimit reports whether the pages in use have reached MaxSize.
func (t *txn) atLimit() bool {
	if t.full == nil {
		stats := t.store.db.Stats()
		used := t.tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(t.store.db.Info().PageSize)
		full := used >= t.store.maxSize
		t.full = &full
	}
	return *t.full
}

// flush writes what the operations have gathered; it comes last.
func (t *txn) flush() error {
	if err := t.flushDamaged(); err != nil {
		return err
	}
	if err := t.flushBacklog(); err != nil {
		return err
	}
	if err := t.flushTurns(); err != nil {
		return err
	}
	b := t.bucket(bucketLanes)
	for lane, gained := range t.lanes {
		if gained == 0 {
			continue
		}
		key := appendName(nil, lane)
		n := int64(posAt(b.Get(key))) + gained
		if n <= 0 {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		if err := b.Put(key, posKey(uint64(n))); err != nil {
			return err
		}
	}
	return nil
}
