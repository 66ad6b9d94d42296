package postgres

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// changes is what a transaction is to write, beside its entries and outboxes.
type changes struct {
	specs    []data
	outcomes map[ulid.ULID][]byte // nil to delete it
	events   []store.Event
	counts   map[counter]int64
	removed  int // rows that the indexes of the queue have lost, so far
}

// data is a blob of a record.
type data struct {
	id   ulid.ULID
	blob []byte
}

// isDirty reports whether there is anything for flush to write.
func (t *txn) isDirty() bool {
	if len(t.events) > 0 {
		return true
	}
	for _, e := range t.entries {
		if e.dirty {
			return true
		}
	}
	return false
}

// Rows that are to be changed are looked up one by one, in subqueries that cannot be
// turned into joins, and then taken by their place, which is theirs as long as the record
// is locked. In a join it would be the planner's to choose which side to begin with, and
// a plan that it made when a table was empty reads all of it when it is not.

// flush queues what writes everything that was changed of records, and takes it as
// written. What is not of a record is left to finish.
func (t *txn) flush() {
	var d diff
	for _, e := range t.entries {
		if e.dirty {
			d.add(e)
			e.settle()
		}
	}
	d.sort()
	t.queueGone(d.gone)
	t.queuePlaces(&d)
	t.queueNew(d.added)
	t.queueChanged(d.changed)
	t.queueBlobs()
	t.queueDeliveries()
	t.queueEvents()
	t.turns.stale = nil
	t.changes = changes{removed: t.removed, counts: t.counts}
}

// finish queues what writes the rows that belong to no record, and that others change who
// have locked other records. It comes last before the commit, so that nobody who has one
// waits for anything but the next one in order, or for the commit alone.
func (t *txn) finish() {
	t.queueWithdrawn()
	t.queueCounts()
}

// settle takes an entry as written.
func (e *entry) settle() {
	e.dirty, e.old = false, nil
	if e.cur != nil {
		old := *e.cur
		e.old = &old
	}
}

func (t *txn) queueBlobs() {
	if len(t.specs) > 0 {
		t.queue(`INSERT INTO @.specs SELECT * FROM unnest($1::uuid[], $2::bytea[])`,
			uuids(t.specs, func(d *data) ulid.ULID { return d.id }), byteas(t.specs, func(d *data) []byte { return blob(d.blob) }))
	}
	var put []data
	var remove []ulid.ULID
	for _, id := range slices.SortedFunc(maps.Keys(t.outcomes), ulid.ULID.Compare) {
		if b := t.outcomes[id]; b != nil {
			put = append(put, data{id, b})
		} else {
			remove = append(remove, id)
		}
	}
	if len(remove) > 0 {
		t.queue(`DELETE FROM @.outcomes WHERE id = ANY ($1::uuid[])`, uuids(remove, self))
	}
	if len(put) > 0 {
		t.queue(`INSERT INTO @.outcomes SELECT * FROM unnest($1::uuid[], $2::bytea[]) ON CONFLICT (id) DO UPDATE SET data = excluded.data`,
			uuids(put, func(d *data) ulid.ULID { return d.id }), byteas(put, func(d *data) []byte { return d.blob }))
	}
}

// blockSize is how many positions of the feed are taken at once.
const blockSize = 4096

// queueEvents writes events at positions that are taken now.
func (t *txn) queueEvents() {
	gone := func(e store.Event) bool { x := t.entries[e.ID]; return x != nil && x.cur == nil }
	t.events = slices.DeleteFunc(t.events, gone)
	if len(t.events) == 0 {
		return
	}
	t.queue(`INSERT INTO @.events (pos, id, seq, owner, data)
		SELECT p.b[1 + (u.n - 1) / 4096] + (u.n - 1) % 4096, u.id, u.seq, u.owner, u.data
		FROM (SELECT @.take_positions($1, $2) AS b OFFSET 0) p,
			unnest($3::uuid[], $4::bigint[], $5::bytea[], $6::bytea[]) WITH ORDINALITY u (id, seq, owner, data, n)`,
		t.s.places, (len(t.events)+blockSize-1)/blockSize,
		uuids(t.events, func(e *store.Event) ulid.ULID { return e.ID }),
		numbers(t.events, func(e *store.Event) uint64 { return e.Seq }),
		texts(t.events, func(e *store.Event) string { return e.Owner }),
		byteas(t.events, func(e *store.Event) []byte { return blob(e.Data) }))
}

// keysOf is the ids in order.
func keysOf[V any](m map[ulid.ULID]V) []ulid.ULID {
	return slices.SortedFunc(maps.Keys(m), ulid.ULID.Compare)
}

func sortedShares[V any](m map[share]V) []share {
	return slices.SortedFunc(maps.Keys(m), func(a, b share) int {
		return cmp.Or(strings.Compare(a.lane, b.lane), cmp.Compare(b.priority, a.priority), strings.Compare(a.owner, b.owner))
	})
}

func copyHead(h *store.Head) store.Head {
	c := *h
	c.Labels, c.Fingerprint, c.Note = maps.Clone(h.Labels), bytes.Clone(h.Fingerprint), bytes.Clone(h.Note)
	return c
}
