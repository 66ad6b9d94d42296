package bolt

import (
	"bytes"
	"cmp"
	"container/heap"
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

func (k deliveryKey) compare(o deliveryKey) int {
	return cmp.Or(k.id.Compare(o.id), cmp.Compare(k.seq, o.seq))
}

// leases holds which deliveries are hidden, and until when. They are kept in
// memory: nobody else can have the file open, and when the process dies its
// deliveries must be sent again anyway. Whoever needs mu and a transaction takes
// mu first.
//
// It also knows how far the sendable deliveries of an endpoint were walked through,
// so that a claim does not meet those that are held over and over.
type leases struct {
	mu      sync.Mutex
	held    map[deliveryKey]*lease
	soonest leaseHeap
	walked  map[string]*walk // by endpoint, while something of it is held
}

type lease struct {
	key      deliveryKey
	endpoint string
	attempt  int // of the delivery as it was claimed
	until    time.Time
	place    int // in soonest
}

// walk is what is known of an endpoint: of its sendable deliveries, those up to and
// with to are held, or cannot be read, but for those in back.
type walk struct {
	held int
	to   deliveryKey
	back []deliveryKey // may name some that are not sendable any more
}

// backMost bounds how many deliveries behind a walk are kept beside as many as are
// held; when there are more, the walk begins anew.
const backMost = 1000

func newLeases() leases {
	return leases{held: map[deliveryKey]*lease{}, walked: map[string]*walk{}}
}

// hold hides a delivery. mu is held, as for every method but follow.
func (l *leases) hold(h *lease) {
	l.held[h.key] = h
	heap.Push(&l.soonest, h)
	w := l.walked[h.endpoint]
	if w == nil {
		w = &walk{}
		l.walked[h.endpoint] = w
	}
	w.held++
}

// end shows a delivery again, to those who come by.
func (l *leases) end(h *lease) {
	delete(l.held, h.key)
	heap.Remove(&l.soonest, h.place)
	w := l.walked[h.endpoint]
	if w.held--; w.held == 0 {
		delete(l.walked, h.endpoint)
	}
}

// expire ends the leases that have run out.
func (l *leases) expire(now time.Time) {
	for len(l.soonest) > 0 && !l.soonest[0].until.After(now) {
		h := l.soonest[0]
		l.end(h)
		l.look(h.endpoint, h.key)
	}
}

// look makes sure that the next walk comes by a delivery that may be sendable.
func (l *leases) look(endpoint string, k deliveryKey) {
	w := l.walked[endpoint]
	if w == nil || k.compare(w.to) > 0 {
		return
	}
	w.back = append(w.back, k)
	if len(w.back) > w.held+backMost {
		w.to, w.back = deliveryKey{}, nil
	}
}

// undo forgets a claim that went wrong, but for what another has claimed since, and all
// walks, which it may have led astray.
func (l *leases) undo(claimed []store.Delivery, until time.Time) {
	for i := range claimed {
		if h := l.held[deliveryKey{claimed[i].ID, claimed[i].Seq}]; h != nil && h.until.Equal(until) {
			l.end(h)
		}
	}
	for _, w := range l.walked {
		w.to, w.back = deliveryKey{}, nil
	}
}

// follow does what a transaction means for leases, once that is durable. It comes
// before its callers are answered, and with one lock: a claim sees the transaction
// and not this, and what is settled is hidden still, or both.
func (l *leases) follow(t *txn) {
	if len(t.settled) == 0 && len(t.sendable) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range t.settled {
		// One of a later attempt is of a claim that came after the settlement.
		if h := l.held[s.key]; h != nil && h.attempt <= s.attempt {
			l.end(h)
		}
	}
	for _, s := range t.sendable {
		l.look(s.endpoint, s.key)
	}
}

// unhidden calls visit with the keys of the deliveries to an endpoint that are due and
// not hidden, until it returns false. One for which it returns true is held
// now, or cannot be read; it does not come again. The leases' mu is held, and they
// were expired.
func (t *txn) unhidden(endpoint string, visit func(key []byte) bool) {
	l := &t.store.leases
	c := t.bucket(bucketSendable).Cursor()
	prefix := appendName(make([]byte, 0, 2+len(endpoint)+idSize+8), endpoint)
	if w := l.walked[endpoint]; w != nil {
		for len(w.back) > 0 {
			full := appendDeliveryKey(prefix, w.back[0])
			k, _ := c.Seek(full)
			if l.held[w.back[0]] == nil && bytes.Equal(k, full) && !visit(k[len(prefix):]) {
				return
			}
			w.back = w.back[1:]
		}
		w.back = nil
	}
	var from deliveryKey
	if w := l.walked[endpoint]; w != nil {
		from = w.to
	}
	full := appendDeliveryKey(prefix, from)
	k, _ := c.Seek(full)
	if bytes.Equal(k, full) {
		k, _ = c.Next()
	}
	for ; bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		key := asDeliveryKey(k[len(prefix):])
		if l.held[key] == nil && !visit(k[len(prefix):]) {
			return
		}
		if w := l.walked[endpoint]; w != nil {
			w.to = key
		}
	}
}

func appendDeliveryKey(b []byte, k deliveryKey) []byte {
	return binary.BigEndian.AppendUint64(append(b, k.id[:]...), k.seq)
}

func asDeliveryKey(k []byte) deliveryKey {
	return deliveryKey{ulid.ULID(k[:idSize]), binary.BigEndian.Uint64(k[idSize:])}
}

// leaseHeap is a [heap.Interface], the lease that ends first in front.
type leaseHeap []*lease

func (q leaseHeap) Len() int           { return len(q) }
func (q leaseHeap) Less(i, j int) bool { return q[i].until.Before(q[j].until) }

func (q leaseHeap) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *leaseHeap) Push(x any) {
	h := x.(*lease)
	h.place = len(*q)
	*q = append(*q, h)
}

func (q *leaseHeap) Pop() any {
	last := len(*q) - 1
	h := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return h
}
