package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// patience bounds every call, and every transaction: a server that has gone without a
// word, or stands still, holds nobody for longer. It is more than connecting may take, and
// than a process that has stopped in the middle of a transaction keeps its locks.
const patience = 8 * time.Second

// Advisory locks are named by the class of the schema and one of these. Those that
// announce positions of the feed are of another class: the second number is the position.
const (
	lockMigrate int32 = 1
	lockPause   int32 = 2 // shared by claims
)

// txn is one transaction. What its ops need is locked and read first, in one round trip;
// they run on that, one after the other, in memory; and what they have changed is
// written in another. Records are locked in the order of their ids, and everything else
// of a record only by whoever has locked it.
type txn struct {
	s    *Store
	ctx  context.Context
	conn *pgxpool.Conn
	b    *pgx.Batch
	now  time.Time // by the database's clock, after the locks were had

	ids       map[ulid.ULID]bool    // of records that are wanted
	fresh     []ulid.ULID           // of records that are to be inserted
	keys      map[ownerKey]struct{} // that are wanted
	shares    map[share]struct{}    // whose turns are wanted
	boxes     map[ulid.ULID]bool    // records whose deliveries are wanted
	promotes  bool                  // what has become due is to be made ready
	claims    bool                  // there are claims
	entries   map[ulid.ULID]*entry  // of records that were read
	orphans   map[ulid.ULID]bool    // records that are gone while deliveries are pending
	holders   map[ownerKey]*row     // of keys
	outboxes  map[ulid.ULID]*outbox // of records, as far as they were read
	turns     turns
	due       []ulid.ULID // records to be made ready, in order
	promoted  int         // how many were
	changes               // what is to be written
	committed bool        // the commit was sent
}

type ownerKey struct{ owner, key string }

// entry is a record, as the database has it and as it will be. Either is nil if there is
// none.
type entry struct {
	old, cur *row
	dirty    bool
}

// transact carries out a batch of ops. What is certain not to have happened is tried
// again; ops run from the beginning then.
func (s *Store) transact(batch []*op) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n := 1; ; n++ {
		t := &txn{
			s: s, ctx: ctx, ids: map[ulid.ULID]bool{}, keys: map[ownerKey]struct{}{}, shares: map[share]struct{}{},
			boxes: map[ulid.ULID]bool{}, entries: map[ulid.ULID]*entry{}, orphans: map[ulid.ULID]bool{},
			holders: map[ownerKey]*row{}, outboxes: map[ulid.ULID]*outbox{}, b: &pgx.Batch{},
		}
		err := t.attempt(batch)
		switch {
		case err == nil:
			s.tidy.note(s, t.removed)
			return nil
		case n == attempts, t.committed && !isConflict(err), !isPassing(err), ctx.Err() != nil:
			return classify(err)
		case isRefused(err):
			return classify(err) // it is down; the caller knows best how long to wait
		case isLocked(err):
			return err // it has waited; others shall not
		case isConflict(err):
			time.Sleep(time.Duration(rand.Int64N(int64(n) * int64(time.Millisecond))))
		}
	}
}

func (t *txn) attempt(batch []*op) (err error) {
	t.conn, err = t.s.pool.Acquire(t.ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !t.conn.Conn().IsClosed() && t.conn.Conn().PgConn().TxStatus() != 'I' {
			_, _ = t.conn.Exec(t.ctx, "ROLLBACK") // if it cannot, release closes the connection
		}
		release(t.conn, err)
	}()
	mutates, sends := t.begin(batch)
	claims := claimsOf(batch)
	if !mutates && len(claims) > 0 {
		t.queueClaims(claims) // nothing is to be written before, most probably
	}
	if err := t.send(); err != nil {
		return err
	}
	if err := t.promote(); err != nil {
		return err
	}
	for _, o := range batch {
		if o.run != nil {
			if err := o.run(t); err != nil {
				return err
			}
		}
	}
	if len(claims) > 0 {
		if mutates || t.isDirty() {
			t.flush()
			t.queueClaims(claims)
			if err := t.send(); err != nil {
				return err
			}
		}
		if err := t.claim(claims); err != nil {
			return err
		}
	}
	t.flush()
	for _, o := range sends {
		t.queueSending(o.send)
	}
	t.finish()
	t.b.Queue("COMMIT")
	t.committed = true
	return t.send()
}

// begin queues what begins the transaction, and all that the ops want to be read. It
// reports whether there is an op that changes something by itself, and those that claim
// deliveries.
func (t *txn) begin(batch []*op) (mutates bool, sends []*op) {
	for _, o := range batch {
		if o.want != nil {
			o.want(t)
		}
		mutates = mutates || o.run != nil
		t.claims = t.claims || o.claim != nil
		if o.send != nil {
			sends = append(sends, o)
		}
	}
	t.b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	if t.s.pollOnly {
		t.b.Queue(setTransaction)
	}
	if batch[0].group > 0 && !batch[0].held {
		t.b.Queue("SET LOCAL lock_timeout = '100ms'")
	}
	if t.claims {
		t.promotes = true
		t.b.Queue("SELECT pg_advisory_xact_lock_shared($1, $2)", t.s.class, lockPause)
	}
	t.queueHeads()
	t.queueKeys()
	t.queueTurns()
	t.queueOutboxes()
	t.queuePromotion()
	t.queueNow()
	return mutates, sends
}

// send sends what was queued, and waits for all of it.
func (t *txn) send() error {
	if t.b.Len() == 0 {
		return nil
	}
	b := t.b
	t.b = &pgx.Batch{}
	return t.conn.SendBatch(t.ctx, b).Close()
}

func (t *txn) queue(text string, args ...any) *pgx.QueuedQuery {
	return t.b.Queue(t.s.sql(text), args...)
}

func (t *txn) queueNow() {
	t.s.queueTime(t.b, func(now time.Time) { t.now = now })
}

// queueHeads locks and reads the records that are wanted.
func (t *txn) queueHeads() {
	if len(t.ids) > 0 {
		ids := keysOf(t.ids)
		for _, id := range ids {
			t.entries[id] = &entry{}
		}
		t.queue(`SELECT `+columns+` FROM @.heads h WHERE h.id = ANY ($1::uuid[]) ORDER BY h.id FOR UPDATE`,
			uuids(ids, self)).Query(func(rows pgx.Rows) error { return eachRow(rows, t.keep) })
	}
	if len(t.fresh) > 0 {
		t.queue(`SELECT u.id FROM unnest($1::uuid[]) u (id) WHERE (SELECT true FROM @.deliveries d WHERE d.id = u.id LIMIT 1)`,
			uuids(t.fresh, self)).Query(func(rows pgx.Rows) error {
			var id ulid.ULID
			_, err := pgx.ForEachRow(rows, []any{(*key)(&id)}, func() error {
				t.orphans[id] = true
				return nil
			})
			return err
		})
	}
}

// keep takes up a record as the database has it.
func (t *txn) keep(r *row) error {
	cur := *r
	t.entries[r.ID] = &entry{old: r, cur: &cur}
	return nil
}

// queueKeys reads who holds the idempotency keys that are wanted.
func (t *txn) queueKeys() {
	if len(t.keys) == 0 {
		return
	}
	list := make([]ownerKey, 0, len(t.keys))
	for k := range t.keys {
		list = append(list, k)
	}
	t.queue(`SELECT `+columns+` FROM unnest($1::bytea[], $2::bytea[]) u (owner, key),
		LATERAL (SELECT * FROM @.heads h WHERE h.owner = u.owner AND h.key = u.key OFFSET 0) h`,
		texts(list, func(k *ownerKey) string { return k.owner }), texts(list, func(k *ownerKey) string { return k.key }),
	).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(r *row) error {
			t.holders[ownerKey{r.Owner, r.IdempotencyKey}] = r
			return nil
		})
	})
}

// entry is what is known of a record that was wanted.
func (t *txn) entry(id ulid.ULID) *entry {
	e := t.entries[id]
	if e == nil {
		e = &entry{}
		t.entries[id] = e
	}
	return e
}

// current is the entry that ref names. When there is none at that version, the result
// says so and ok is false.
func (t *txn) current(ref store.Ref, out *store.Result) (e *entry, ok bool) {
	e = t.entry(ref.ID)
	switch {
	case e.cur == nil:
		out.Err = store.ErrNotFound
	case e.cur.Version != ref.Version:
		out.Head, out.Err = copyHead(&e.cur.Head), store.ErrStale
	default:
		return e, true
	}
	return e, false
}

func self(id *ulid.ULID) ulid.ULID { return *id }
