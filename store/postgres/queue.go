package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Extend implements [store.Queue].
func (s *Store) Extend(ctx context.Context, refs []store.Ref, lease time.Duration) ([]store.Result, error) {
	out := make([]store.Result, len(refs))
	err := s.write(ctx, &op{
		want: func(t *txn) {
			for _, r := range refs {
				t.ids[r.ID] = true
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range refs {
				e, ok := t.current(refs[i], &out[i])
				if !ok {
					continue
				}
				if e.cur.State != store.Working {
					out[i].Head, out[i].Err = copyHead(&e.cur.Head), store.ErrStale
					continue
				}
				r := *e.cur
				r.Deadline = micro(t.now.Add(lease))
				e.cur, e.dirty = &r, true
				out[i].Head = copyHead(&r.Head)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// mostPromotions bounds how often one call makes ready what is due: the rest is ready soon.
const mostPromotions = 5

// promoted makes ready what is due, and reads after that. What others have locked, who are
// about to do the same, it gives a moment, and then leaves to them. queue queues what reads;
// the transaction sees one state of the database.
func (s *Store) promoted(ctx context.Context, queue func(*pgx.Batch)) error {
	for n := 1; ; n++ {
		var due bool
		err := s.read(ctx, true, func(b *pgx.Batch) {
			b.Queue(s.sql(`SELECT EXISTS (SELECT FROM @.delayed d WHERE d.run_at <= statement_timestamp())`)).
				QueryRow(func(r pgx.Row) error { return r.Scan(&due) })
			queue(b)
		})
		if err != nil || !due || n > mostPromotions {
			return err
		}
		var promoted int
		err = s.write(ctx, &op{
			want: func(t *txn) { t.promotes = true },
			run: func(t *txn) error {
				promoted = t.promoted
				return nil
			},
		})
		if err != nil {
			return err
		}
		if promoted > 0 {
			continue
		}
		select {
		case <-time.After(time.Duration(n*n) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sinceDepth is how many records of each priority Lanes looks at: see [store.Lane].
const sinceDepth = 128

// Lanes implements [store.Queue].
func (s *Store) Lanes(ctx context.Context) ([]store.Lane, error) {
	var out []store.Lane
	err := s.promoted(ctx, func(b *pgx.Batch) {
		b.Queue(s.sql(`WITH lanes AS (
				SELECT c.name AS lane, sum(c.n)::bigint AS n FROM @.counts c WHERE c.kind = 1 GROUP BY c.name HAVING sum(c.n) > 0)
			SELECT l.lane, l.n, coalesce(f.kind, ''), coalesce(f.rank, 0), (
					SELECT min(x.since) FROM (
						SELECT r.since FROM @.ready r WHERE r.lane = l.lane AND r.rank = f.rank
						ORDER BY r.lane, r.rank, r.turn, r.id LIMIT $1) x), (
					WITH RECURSIVE p AS (
						(SELECT r.rank FROM @.ready r WHERE r.lane = l.lane ORDER BY r.lane, r.rank LIMIT 1)
						UNION ALL
						SELECT (SELECT r.rank FROM @.ready r WHERE r.lane = l.lane AND r.rank > p.rank ORDER BY r.lane, r.rank LIMIT 1)
						FROM p WHERE p.rank IS NOT NULL)
					SELECT min(x.since) FROM p, LATERAL (
						SELECT r.since FROM @.ready r WHERE r.lane = l.lane AND r.rank = p.rank
						ORDER BY r.lane, r.rank, r.turn, r.id LIMIT $1) x),
				EXISTS (SELECT FROM @.paused p WHERE p.every AND p.lane = '')
					OR EXISTS (SELECT FROM @.paused p WHERE NOT p.every AND p.lane = l.lane)
			FROM lanes l LEFT JOIN LATERAL (
				SELECT h.kind, r.rank FROM @.ready r JOIN @.heads h ON h.id = r.id WHERE r.lane = l.lane
				ORDER BY r.lane, r.rank, r.turn, r.id LIMIT 1) f ON true`), sinceDepth).Query(func(rows pgx.Rows) error {
			out = nil
			for rows.Next() {
				var l store.Lane
				err := rows.Scan((*text)(&l.Name), &l.Ready, (*text)(&l.Kind), (*complement)(&l.Priority), (*moment)(&l.Top), (*moment)(&l.Since), &l.Paused)
				if err != nil {
					return err
				}
				out = append(out, l)
			}
			return rows.Err()
		})
	})
	return out, err
}

// Position implements [store.Queue].
func (s *Store) Position(ctx context.Context, id ulid.ULID, limit int) (ahead int, ready bool, err error) {
	err = s.promoted(ctx, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT h.ready, CASE WHEN h.ready THEN (
				SELECT count(*) FROM (SELECT FROM @.ready r WHERE r.lane = h.lane AND (r.rank, r.turn, r.id) < (h.rank, h.turn, h.id)
					ORDER BY r.lane, r.rank, r.turn, r.id LIMIT $2) x) ELSE 0 END
			FROM @.heads h WHERE h.id = $1`), uuid(id), max(limit, 0)).QueryRow(func(r pgx.Row) error {
			return r.Scan(&ready, &ahead)
		})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, store.ErrNotFound
	}
	return ahead, ready, err
}

// Overdue implements [store.Queue].
func (s *Store) Overdue(ctx context.Context, limit int) ([]store.Head, error) {
	var out []store.Head
	err := s.read(ctx, true, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT `+columns+` FROM (
				(SELECT * FROM @.deadlines d WHERE d.class = 0 AND d.at <= statement_timestamp() ORDER BY d.class, d.at, d.id LIMIT $1)
				UNION ALL
				(SELECT * FROM @.deadlines d WHERE d.class = 1 AND d.at <= statement_timestamp() ORDER BY d.class, d.at, d.id LIMIT $1)
				UNION ALL
				(SELECT * FROM @.deadlines d WHERE d.class = 2 AND d.at <= statement_timestamp() ORDER BY d.class, d.at, d.id LIMIT $1)
			) x, LATERAL (SELECT * FROM @.heads h WHERE h.id = x.id OFFSET 0) h ORDER BY x.class, x.at, x.id LIMIT $1`), max(limit, 0)).Query(func(rows pgx.Rows) error {
			out = nil
			return eachRow(rows, func(r *row) error {
				out = append(out, r.Head)
				return nil
			})
		})
	})
	return out, err
}

// Upcoming implements [store.Queue].
func (s *Store) Upcoming(ctx context.Context) (store.Upcoming, error) {
	var u store.Upcoming
	err := s.read(ctx, true, func(b *pgx.Batch) {
		// Of what is due and so much that one look leaves some of it, the first that is left
		// is to come.
		b.Queue(s.sql(`SELECT
			coalesce(
				(SELECT d.run_at FROM @.delayed d WHERE d.run_at <= statement_timestamp() ORDER BY d.run_at, d.id OFFSET $1 LIMIT 1),
				(SELECT d.run_at FROM @.delayed d WHERE d.run_at > statement_timestamp() ORDER BY d.run_at, d.id LIMIT 1)),
			least(
				(SELECT d.at FROM @.deadlines d WHERE d.class = 0 ORDER BY d.class, d.at LIMIT 1),
				(SELECT d.at FROM @.deadlines d WHERE d.class = 1 ORDER BY d.class, d.at LIMIT 1),
				(SELECT d.at FROM @.deadlines d WHERE d.class = 2 ORDER BY d.class, d.at LIMIT 1)),
			coalesce(
				(SELECT f.at FROM @.fronts f WHERE NOT f.leased AND f.at <= statement_timestamp() ORDER BY f.leased, f.at, f.id OFFSET $1 LIMIT 1),
				(SELECT f.at FROM @.fronts f WHERE NOT f.leased AND f.at > statement_timestamp() ORDER BY f.leased, f.at, f.id LIMIT 1))`,
		), mostPromotions*promotion).QueryRow(func(r pgx.Row) error {
			return r.Scan((*moment)(&u.Run), (*moment)(&u.Deadline), (*moment)(&u.Delivery))
		})
	})
	return u, err
}
