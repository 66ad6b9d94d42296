package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// scan bounds how many records or events one call looks at to find those that match.
const scan = 10_000

// List implements [store.Records].
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	limit := max(q.Limit, 1)
	var p store.Page
	var last ulid.ULID // beyond which nothing was looked at
	var more bool
	top := highest(q.Before)
	pairs := [][]byte{}
	for name, value := range q.Labels {
		pairs = append(pairs, packLabel(nil, name, value))
	}
	err := s.read(ctx, true, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT `+columns+` FROM (
				SELECT * FROM @.heads h WHERE h.id <= $1 ORDER BY h.id DESC LIMIT $2) h
			WHERE ($3::bytea IS NULL OR h.owner = $3) AND ($4::bytea IS NULL OR h.state = $4) AND ($5::bytea IS NULL OR h.kind = $5)
				AND ($6::timestamptz IS NULL OR h.created > $6) AND ($7::timestamptz IS NULL OR h.created < $7)
				AND (SELECT coalesce(bool_and(position(l.pair IN h.labels) > 0), true) FROM unnest($8::bytea[]) l (pair))
			ORDER BY h.id DESC LIMIT $9`),
			uuid(top), scan, orNull(q.Owner), orNull(string(q.State)), orNull(q.Kind),
			at(micro(q.CreatedAfter)), at(up(q.CreatedBefore)), pairs, limit+1).Query(func(rows pgx.Rows) error {
			p, more = store.Page{}, false
			return eachRow(rows, func(r *row) error {
				if len(p.Heads) == limit {
					more = true
					return nil
				}
				last = r.ID
				if hasLabels(&r.Head, q.Labels) {
					p.Heads = append(p.Heads, r.Head)
				}
				return nil
			})
		})
		if isWhole(&q) && limit < scan {
			return // a page that is not full is the last one
		}
		b.Queue(s.sql(`SELECT h.id FROM @.heads h WHERE h.id <= $1 ORDER BY h.id DESC OFFSET $2 LIMIT 1`),
			uuid(top), scan-1).Query(func(rows pgx.Rows) error {
			var id ulid.ULID
			_, err := pgx.ForEachRow(rows, []any{(*key)(&id)}, func() error {
				p.Next = id
				return nil
			})
			return err
		})
	})
	if more {
		p.Next = last
	}
	return p, err
}

// isWhole reports whether every record matches.
func isWhole(q *store.Query) bool {
	return q.Owner == "" && q.State == "" && q.Kind == "" && len(q.Labels) == 0 && q.CreatedAfter.IsZero() && q.CreatedBefore.IsZero()
}

// hasLabels is exact, where the database may have found one in the midst of others.
func hasLabels(h *store.Head, want map[string]string) bool {
	for k, v := range want {
		if have, ok := h.Labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// up is the first time that is kept and not before t.
func up(t time.Time) time.Time {
	if m := micro(t); m.Before(t) {
		return m.Add(time.Microsecond)
	}
	return micro(t)
}

// highest is the highest id below the one given, or of all for none.
func highest(before ulid.ULID) ulid.ULID {
	for i := len(before) - 1; i >= 0; i-- {
		if before[i]--; before[i] != 0xff {
			break
		}
	}
	return before
}
