package postgres

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

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

// The numbers that are kept in counts.
const (
	countReady   int16 = 1 // of each lane
	countPending int16 = 2 // deliveries, under the empty name
)

// slots is how many processes can change one number without waiting for each other.
const slots = 64

type counter struct {
	kind int16
	name string
}

func (t *txn) count(kind int16, name string, n int64) {
	if t.counts == nil {
		t.counts = map[counter]int64{}
	}
	t.counts[counter{kind, name}] += n
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

// diff is what is to be done to the tables of heads.
type diff struct {
	added, changed         []*row
	gone                   []ulid.ULID
	ready, unready         []*row
	delayed, undelayed     []timed
	deadlines, undeadlines []timed
}

type timed struct {
	class int16
	at    time.Time
	id    ulid.ULID
}

func (d *diff) add(e *entry) {
	switch {
	case e.cur == nil && e.old == nil:
		return
	case e.cur == nil:
		d.gone = append(d.gone, e.old.ID)
	case e.old == nil:
		d.added = append(d.added, e.cur)
	default:
		d.changed = append(d.changed, e.cur)
	}
	if r, was := place(e.cur), place(e.old); r != was {
		if was != (ready{}) {
			d.unready = append(d.unready, e.old)
		}
		if r != (ready{}) {
			d.ready = append(d.ready, e.cur)
		}
	} else if r != (ready{}) && !since(&e.cur.Head).Equal(since(&e.old.Head)) {
		d.unready, d.ready = append(d.unready, e.old), append(d.ready, e.cur)
	}
	move(&d.delayed, &d.undelayed, delay(e.cur), delay(e.old))
	move(&d.deadlines, &d.undeadlines, deadline(e.cur), deadline(e.old))
}

func move(add, remove *[]timed, now, was timed) {
	if now == was {
		return
	}
	if was != (timed{}) {
		*remove = append(*remove, was)
	}
	if now != (timed{}) {
		*add = append(*add, now)
	}
}

// ready is where a record is in the table of that name; zero if it is not.
type ready struct {
	level
	turn uint64
	id   ulid.ULID
}

func place(r *row) ready {
	if r == nil || !r.ready {
		return ready{}
	}
	return ready{levelOf(&r.Head), r.turn, r.ID}
}

func delay(r *row) timed {
	if r == nil || r.State != store.Queued || r.ready {
		return timed{}
	}
	return timed{at: r.RunAt, id: r.ID}
}

func deadline(r *row) timed {
	if r == nil || r.Deadline.IsZero() {
		return timed{}
	}
	return timed{classOf(r.State), r.Deadline, r.ID}
}

// sort brings everything into the order in which all transactions write.
func (d *diff) sort() {
	byID := func(a, b *row) int { return a.ID.Compare(b.ID) }
	for _, list := range [][]*row{d.added, d.changed, d.ready, d.unready} {
		slices.SortFunc(list, byID)
	}
	slices.SortFunc(d.gone, ulid.ULID.Compare)
	for _, list := range [][]timed{d.delayed, d.undelayed, d.deadlines, d.undeadlines} {
		slices.SortFunc(list, func(a, b timed) int {
			return cmp.Or(cmp.Compare(a.class, b.class), a.at.Compare(b.at), a.id.Compare(b.id))
		})
	}
}

// queueGone deletes records, with all that is theirs but for their deliveries.
func (t *txn) queueGone(ids []ulid.ULID) {
	if len(ids) == 0 {
		return
	}
	for _, table := range []string{"heads", "specs", "outcomes", "events"} {
		t.queue(`DELETE FROM @.`+table+` WHERE ctid = ANY (ARRAY(SELECT x.ctid FROM unnest($1::uuid[]) u (id),
			LATERAL (SELECT x.ctid FROM @.`+table+` x WHERE x.id = u.id OFFSET 0) x))`, uuids(ids, self))
	}
	for _, id := range ids {
		delete(t.outcomes, id)
	}
}

// queuePlaces moves records in the tables by which they are found.
func (t *txn) queuePlaces(d *diff) {
	rank := func(r **row) int32 { return rank((*r).Priority) }
	lane := func(r **row) string { return (*r).Lane }
	turn := func(r **row) uint64 { return (*r).turn }
	id := func(r **row) ulid.ULID { return (*r).ID }
	if len(d.unready) > 0 {
		t.queue(`DELETE FROM @.ready WHERE ctid = ANY (ARRAY(SELECT
				(SELECT r.ctid FROM @.ready r WHERE r.lane = u.lane AND r.rank = u.rank AND r.turn = u.turn AND r.id = u.id)
			FROM unnest($1::bytea[], $2::integer[], $3::bigint[], $4::uuid[]) u (lane, rank, turn, id)))`,
			texts(d.unready, lane), numbers(d.unready, rank), numbers(d.unready, turn), uuids(d.unready, id))
	}
	if len(d.ready) > 0 {
		t.queue(`INSERT INTO @.ready SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bigint[], $4::uuid[], $5::bytea[], $6::timestamptz[])`,
			texts(d.ready, lane), numbers(d.ready, rank), numbers(d.ready, turn), uuids(d.ready, id),
			texts(d.ready, func(r **row) string { return (*r).Owner }),
			times(d.ready, func(r **row) time.Time { return since(&(*r).Head) }))
	}
	at := func(x *timed) time.Time { return x.at }
	of := func(x *timed) ulid.ULID { return x.id }
	class := func(x *timed) int16 { return x.class }
	if len(d.undelayed) > 0 {
		t.queue(`DELETE FROM @.delayed WHERE ctid = ANY (ARRAY(SELECT
				(SELECT x.ctid FROM @.delayed x WHERE x.run_at = u.run_at AND x.id = u.id)
			FROM unnest($1::timestamptz[], $2::uuid[]) u (run_at, id)))`, times(d.undelayed, at), uuids(d.undelayed, of))
	}
	if len(d.delayed) > 0 {
		t.queue(`INSERT INTO @.delayed SELECT * FROM unnest($1::timestamptz[], $2::uuid[])`, times(d.delayed, at), uuids(d.delayed, of))
	}
	if len(d.undeadlines) > 0 {
		t.queue(`DELETE FROM @.deadlines WHERE ctid = ANY (ARRAY(SELECT
				(SELECT x.ctid FROM @.deadlines x WHERE x.class = u.class AND x.at = u.at AND x.id = u.id)
			FROM unnest($1::smallint[], $2::timestamptz[], $3::uuid[]) u (class, at, id)))`,
			numbers(d.undeadlines, class), times(d.undeadlines, at), uuids(d.undeadlines, of))
		t.removed += len(d.undeadlines)
	}
	if len(d.deadlines) > 0 {
		t.queue(`INSERT INTO @.deadlines SELECT * FROM unnest($1::smallint[], $2::timestamptz[], $3::uuid[])`,
			numbers(d.deadlines, class), times(d.deadlines, at), uuids(d.deadlines, of))
	}
}

func (t *txn) queueNew(rows []*row) {
	if len(rows) == 0 {
		return
	}
	t.queue(`INSERT INTO @.heads (id, version, seq, state, class, lane, kind, labels, rank, turn, ready, attempt, worker,
			run_at, started, finished, expires, deadline, note, owner, created, key, fingerprint)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::smallint[], $6::bytea[], $7::bytea[],
			$8::bytea[], $9::integer[], $10::bigint[], $11::boolean[], $12::bigint[], $13::bytea[], $14::timestamptz[],
			$15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bytea[], $20::bytea[],
			$21::timestamptz[], $22::bytea[], $23::bytea[])`,
		append(changing(rows),
			texts(rows, func(r **row) string { return (*r).Owner }),
			times(rows, func(r **row) time.Time { return (*r).Created }),
			byteas(rows, func(r **row) []byte {
				if (*r).IdempotencyKey == "" {
					return nil
				}
				return []byte((*r).IdempotencyKey)
			}),
			byteas(rows, func(r **row) []byte { return (*r).Fingerprint }))...)
}

// queueChanged updates heads; the columns are those that changing gives.
func (t *txn) queueChanged(rows []*row) {
	if len(rows) == 0 {
		return
	}
	t.queue(`UPDATE @.heads h SET version = u.version, seq = u.seq, state = u.state, class = u.class, lane = u.lane,
			kind = u.kind, labels = u.labels, rank = u.rank, turn = u.turn, ready = u.ready, attempt = u.attempt,
			worker = u.worker, run_at = u.run_at, started = u.started, finished = u.finished, expires = u.expires,
			deadline = u.deadline, note = u.note
		FROM (SELECT (SELECT x.ctid FROM @.heads x WHERE x.id = u.id) AS place, u.*
			FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::smallint[], $6::bytea[], $7::bytea[],
				$8::bytea[], $9::integer[], $10::bigint[], $11::boolean[], $12::bigint[], $13::bytea[], $14::timestamptz[],
				$15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bytea[])
				u (id, version, seq, state, class, lane, kind, labels, rank, turn, ready, attempt, worker,
				run_at, started, finished, expires, deadline, note) OFFSET 0) u
		WHERE h.ctid = u.place`, changing(rows)...)
}

func changing(rows []*row) []any {
	return []any{
		uuids(rows, func(r **row) ulid.ULID { return (*r).ID }),
		numbers(rows, func(r **row) uint64 { return (*r).Version }),
		numbers(rows, func(r **row) uint64 { return (*r).Seq }),
		texts(rows, func(r **row) store.State { return (*r).State }),
		numbers(rows, func(r **row) int16 { return classOf((*r).State) }),
		texts(rows, func(r **row) string { return (*r).Lane }),
		texts(rows, func(r **row) string { return (*r).Kind }),
		byteas(rows, func(r **row) []byte { return packLabels((*r).Labels) }),
		numbers(rows, func(r **row) int32 { return rank((*r).Priority) }),
		numbers(rows, func(r **row) uint64 { return (*r).turn }),
		bools(rows, func(r **row) bool { return (*r).ready }),
		numbers(rows, func(r **row) int { return (*r).Attempt }),
		texts(rows, func(r **row) string { return (*r).Worker }),
		times(rows, func(r **row) time.Time { return (*r).RunAt }),
		times(rows, func(r **row) time.Time { return (*r).Started }),
		times(rows, func(r **row) time.Time { return (*r).Finished }),
		times(rows, func(r **row) time.Time { return (*r).Expires }),
		times(rows, func(r **row) time.Time { return (*r).Deadline }),
		byteas(rows, func(r **row) []byte { return (*r).Note }),
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

func (t *txn) queueCounts() {
	var list []counter
	for c, n := range t.counts {
		if n != 0 {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b counter) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	n := t.counts
	t.queue(`INSERT INTO @.counts AS c SELECT u.kind, u.name, $3, u.n FROM unnest($1::smallint[], $2::bytea[], $4::bigint[]) u (kind, name, n)
		ON CONFLICT (kind, name, slot) DO UPDATE SET n = c.n + excluded.n`,
		numbers(list, func(c *counter) int16 { return c.kind }), texts(list, func(c *counter) string { return c.name }),
		t.s.slot, numbers(list, func(c *counter) int64 { return n[*c] }))
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
