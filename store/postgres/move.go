package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

var _ store.Mover = (*Store)(nil)

// maxExported is what the records of one export may hold, but for the last.
const maxExported = 16 << 20

// Export implements [store.Mover].
func (s *Store) Export(ctx context.Context, after ulid.ULID, limit int) ([]store.Whole, error) {
	ids, err := s.exportable(ctx, after, limit)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	var out []store.Whole
	at := map[ulid.ULID]int{}
	err = s.read(ctx, true, func(b *pgx.Batch) {
		out = nil
		list := uuids(ids, self)
		b.Queue(s.sql(`SELECT `+columns+` FROM @.heads h WHERE h.id = ANY ($1::uuid[]) ORDER BY h.id`), list).
			Query(func(rows pgx.Rows) error {
				return eachRow(rows, func(r *row) error {
					at[r.ID] = len(out)
					out = append(out, store.Whole{Record: store.Record{Head: r.Head}})
					return nil
				})
			})
		for _, table := range []string{"specs", "outcomes"} {
			b.Queue(s.sql(`SELECT x.id, x.data FROM @.`+table+` x WHERE x.id = ANY ($1::uuid[])`), list).Query(func(rows pgx.Rows) error {
				for rows.Next() {
					var id ulid.ULID
					var data []byte
					if err := rows.Scan((*key)(&id), &data); err != nil {
						return err
					}
					if i, ok := at[id]; ok && table == "specs" {
						out[i].Spec = data
					} else if ok {
						out[i].Outcome = data
					}
				}
				return rows.Err()
			})
		}
		b.Queue(s.sql(`SELECT e.pos, e.id, e.seq, e.owner, e.data FROM @.events e WHERE e.id = ANY ($1::uuid[]) ORDER BY e.id, e.seq`), list).
			Query(func(rows pgx.Rows) error {
				return eachEvent(rows, func(e store.Event) {
					if i, ok := at[e.ID]; ok {
						out[i].Events = append(out[i].Events, e)
					}
				})
			})
		b.Queue(s.sql(`SELECT d.id, d.seq, d.endpoint, d.url, d.state, d.attempt, d.due, d.log, x.data
			FROM @.deliveries d, LATERAL (SELECT x.data FROM @.bodies x WHERE x.id = d.id AND x.seq = d.seq OFFSET 0) x
			WHERE d.id = ANY ($1::uuid[]) ORDER BY d.id, d.seq`), list).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var d store.Delivery
				err := rows.Scan((*key)(&d.ID), &d.Seq, (*text)(&d.Endpoint), (*text)(&d.URL), (*text)(&d.State), &d.Attempt, (*moment)(&d.Due), &d.Log, &d.Body)
				if err != nil {
					return err
				}
				if i, ok := at[d.ID]; ok {
					out[i].Deliveries = append(out[i].Deliveries, d)
				}
			}
			return rows.Err()
		})
	})
	return out, err
}

// exportable are the next ids, of records that are not too much together.
func (s *Store) exportable(ctx context.Context, after ulid.ULID, limit int) (ids []ulid.ULID, err error) {
	err = s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT h.id,
				(SELECT coalesce(sum(octet_length(x.data)), 0) FROM @.specs x WHERE x.id = h.id) +
				(SELECT coalesce(sum(octet_length(x.data)), 0) FROM @.outcomes x WHERE x.id = h.id) +
				(SELECT coalesce(sum(octet_length(x.data)), 0) FROM @.events x WHERE x.id = h.id) +
				(SELECT coalesce(sum(octet_length(x.data)), 0) FROM @.bodies x WHERE x.id = h.id)
			FROM (SELECT h.id FROM @.heads h WHERE h.id > $1 ORDER BY h.id LIMIT $2) h ORDER BY h.id`), uuid(after), max(limit, 0)).
			Query(func(rows pgx.Rows) error {
				ids = nil
				var total, size int64
				var id ulid.ULID
				_, err := pgx.ForEachRow(rows, []any{(*key)(&id), &size}, func() error {
					if total < maxExported {
						ids = append(ids, id)
					}
					total += size
					return nil
				})
				return err
			})
	})
	return ids, err
}

// Import implements [store.Mover].
func (s *Store) Import(ctx context.Context, in []store.Whole) ([]store.Result, error) {
	out := make([]store.Result, len(in))
	size := 0
	for i := range in {
		size += len(in[i].Spec) + len(in[i].Outcome) + bytesOf(in[i].Events, in[i].Deliveries)
	}
	err := s.write(ctx, &op{
		size: size,
		want: func(t *txn) {
			t.promotes = true
			for i := range in {
				t.wantNew(&in[i].Head)
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range in {
				if err := t.restore(&in[i], &out[i]); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *txn) restore(w *store.Whole, out *store.Result) error {
	r := &row{Head: w.Head, turn: firstTurn}
	micros(&r.Head)
	if out.Err = check(&r.Head, 0, w.Events, w.Deliveries); out.Err != nil {
		return nil
	}
	e := t.entry(w.ID)
	k := ownerKey{w.Owner, w.IdempotencyKey}
	switch {
	case e.cur != nil:
		out.Head, out.Existing = copyHead(&e.cur.Head), e.cur.Version >= w.Version
		if !out.Existing {
			out.Err = store.ErrExists
		}
		return nil
	case t.orphans[w.ID], t.hasPending(w.ID):
		out.Err = store.ErrExists
		return nil
	case w.IdempotencyKey != "" && t.holder(k) != nil:
		out.Err = store.ErrKeyReused
		return nil
	}
	if r.State == store.Queued && !r.RunAt.After(t.now) {
		if err := t.makeReady(r); err != nil {
			return err
		}
	}
	e.cur, e.dirty = r, true
	if w.IdempotencyKey != "" {
		t.holders[k] = r
	}
	t.specs = append(t.specs, data{w.ID, w.Spec})
	if w.Outcome != nil {
		if t.outcomes == nil {
			t.outcomes = map[ulid.ULID][]byte{}
		}
		t.outcomes[w.ID] = blob(w.Outcome)
	}
	t.restoreDeliveries(w.ID, w.Deliveries)
	out.Head = copyHead(&r.Head)
	return t.emit(r, w.Events, nil)
}

// restoreDeliveries adds the deliveries of a new record, whatever their states.
func (t *txn) restoreDeliveries(id ulid.ULID, list []store.Delivery) {
	box := &outbox{}
	t.outboxes[id] = box
	for i := range list {
		n := &notice{Delivery: list[i], fresh: true}
		n.ID, n.Due = id, micro(list[i].Due)
		box.list = append(box.list, n)
		if n.State == store.Pending {
			t.count(countPending, "", 1)
		}
	}
	if first := box.firstPending(0); first != nil {
		t.index(box, first)
	}
}
