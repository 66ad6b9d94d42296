package postgres

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// sending is a claim of deliveries under way.
type sending struct {
	store.DeliveryClaim
	out []store.Delivery
}

// ClaimDeliveries implements [store.Outbox].
func (s *Store) ClaimDeliveries(ctx context.Context, c store.DeliveryClaim) ([]store.Delivery, error) {
	if c.Limit < 1 {
		return nil, s.enter(ctx)
	}
	x := &sending{DeliveryClaim: c}
	if err := s.write(ctx, &op{send: x}); err != nil {
		return nil, err
	}
	return s.giveUp(ctx, x.out), nil
}

// giveUp settles those of a claim whose bodies are gone, and returns what is to be told of.
// What cannot be settled now is met again when its lease has run out.
func (s *Store) giveUp(ctx context.Context, list []store.Delivery) []store.Delivery {
	var gone []store.Settlement
	for i := range list {
		if d := &list[i]; d.Body == nil {
			gone = append(gone, store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Failed})
			d.State, d.URL = store.Failed, ""
		}
	}
	if len(gone) == 0 {
		return list
	}
	errs, err := s.settleAs(ctx, gone, 0)
	if err != nil {
		s.log.Warn("cannot give up webhooks whose bodies are gone", "count", len(gone), "error", err)
	}
	return slices.DeleteFunc(list, func(d store.Delivery) bool {
		if d.State != store.Failed || err != nil {
			return d.State == store.Failed
		}
		said := errs[0]
		errs = errs[1:]
		return said != nil
	})
}

// queueSending claims deliveries. It comes last in a transaction: see the function in
// the database, which does all of it.
func (t *txn) queueSending(c *sending) {
	others := c.PerEndpoint
	if others == 0 {
		others = c.Limit
	}
	names := slices.Sorted(maps.Keys(c.Room))
	small := func(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }
	lease := c.Lease.Truncate(time.Microsecond)
	t.queue(`SELECT id, seq, endpoint, url, attempt, due, log, body FROM @.claim_deliveries($1, $2, $3, $4, $5, $6, $7 * interval '1 microsecond')`,
		small(c.Limit), small(others), texts(names, func(n *string) string { return *n }),
		numbers(names, func(n *string) int32 { return small(c.Room[*n]) }), max(c.Bytes, 0), []byte(c.After), float64(lease.Microseconds()),
	).Query(func(rows pgx.Rows) error {
		c.out = nil
		for rows.Next() {
			d := store.Delivery{State: store.Pending}
			err := rows.Scan((*key)(&d.ID), &d.Seq, (*text)(&d.Endpoint), (*text)(&d.URL), &d.Attempt, (*moment)(&d.Due), &d.Log, &d.Body)
			if err != nil {
				return err
			}
			c.out = append(c.out, d)
		}
		return rows.Err()
	})
}

// SettleDeliveries implements [store.Outbox].
func (s *Store) SettleDeliveries(ctx context.Context, in []store.Settlement) ([]error, error) {
	return s.settleAs(ctx, in, 1)
}

// settleAs settles deliveries after a number of attempts.
func (s *Store) settleAs(ctx context.Context, in []store.Settlement, attempts int) ([]error, error) {
	out := make([]error, len(in))
	err := s.write(ctx, &op{
		want: func(t *txn) {
			for i := range in {
				t.boxes[in[i].ID] = true
			}
		},
		run: func(t *txn) error {
			for i := range in {
				box, err := t.outbox(in[i].ID)
				if err != nil {
					return err
				}
				out[i] = t.settle(box, &in[i], attempts)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// settle returns what is to be said of this settlement.
func (t *txn) settle(b *outbox, in *store.Settlement, attempts int) error {
	i, found := slices.BinarySearchFunc(b.list, in.Seq, func(n *notice, seq uint64) int { return cmp.Compare(n.Seq, seq) })
	if !found || b.list[i].gone {
		return store.ErrNotFound
	}
	n := b.list[i]
	if n.Attempt != in.Attempt {
		return store.ErrStale
	}
	was, first := n.State == store.Pending, b.front.seq == n.Seq
	if was {
		t.count(countPending, "", -1)
	}
	if first {
		b.front = front{}
	}
	n.State, n.Log, n.until, n.dirty = in.State, blob(in.Log), time.Time{}, true
	n.Attempt += attempts
	if n.State == store.Pending {
		n.Due = micro(in.Due)
		t.count(countPending, "", 1)
	}
	switch {
	case n.State == store.Pending && first:
		t.index(b, n)
		return nil
	case n.State == store.Pending && !was:
		t.reopen(b, n)
		return nil
	case n.State == store.Pending:
		return nil
	case n.State == store.Stopped:
		t.stopFollowing(b, n.Seq)
	case first:
		if next := b.firstPending(n.Seq + 1); next != nil {
			t.index(b, next)
		}
	}
	if t.isGone(in.ID) {
		b.deleteSettled()
	}
	return nil
}

// reopen puts a delivery that has become pending in front, if it is now the first of its
// record. The lease of the one that was stays.
func (t *txn) reopen(b *outbox, n *notice) {
	if b.firstPending(0) != n {
		return
	}
	if next := b.firstPending(n.Seq + 1); next != nil && b.front.seq == next.Seq && b.front.leased {
		next.until, next.dirty = b.front.at, true
	}
	t.index(b, n)
}

// stopFollowing settles every later pending delivery of a record, for one is stopped.
func (t *txn) stopFollowing(b *outbox, seq uint64) {
	for next := b.firstPending(seq + 1); next != nil; next = b.firstPending(seq + 1) {
		if b.front.seq == next.Seq {
			b.front = front{}
		}
		t.count(countPending, "", -1)
		next.State, next.until, next.dirty = store.Stopped, time.Time{}, true
	}
}

// Deliveries implements [store.Outbox].
func (s *Store) Deliveries(ctx context.Context, id ulid.ULID) ([]store.Delivery, error) {
	var out []store.Delivery
	err := s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT d.id, d.seq, d.endpoint, d.url, d.state, d.attempt, d.due, d.log FROM @.deliveries d
			WHERE d.id = $1 ORDER BY d.id, d.seq`), uuid(id)).Query(func(rows pgx.Rows) error {
			out = nil
			for rows.Next() {
				var d store.Delivery
				err := rows.Scan((*key)(&d.ID), &d.Seq, (*text)(&d.Endpoint), (*text)(&d.URL), (*text)(&d.State), &d.Attempt, (*moment)(&d.Due), &d.Log)
				if err != nil {
					return err
				}
				out = append(out, d)
			}
			return rows.Err()
		})
	})
	return out, err
}

// Backlog implements [store.Outbox].
func (s *Store) Backlog(ctx context.Context) (int, error) {
	var n int
	err := s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT coalesce(sum(c.n), 0)::bigint FROM @.counts c WHERE c.kind = 2 AND c.name = ''`)).
			QueryRow(func(r pgx.Row) error { return r.Scan(&n) })
	})
	return n, err
}
