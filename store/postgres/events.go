package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Events implements [store.Records].
func (s *Store) Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]store.Event, error) {
	var out []store.Event
	err := s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT e.pos, e.id, e.seq, e.owner, e.data FROM @.events e WHERE e.id = $1 AND e.seq > $2
			ORDER BY e.id, e.seq LIMIT $3`), uuid(id), int64(min(after, 1<<62)), max(limit, 0)).Query(func(rows pgx.Rows) error {
			out = nil
			return eachEvent(rows, func(e store.Event) { out = append(out, e) })
		})
	})
	return out, err
}

func eachEvent(rows pgx.Rows, visit func(store.Event)) error {
	for rows.Next() {
		var e store.Event
		if err := rows.Scan(&e.Pos, (*key)(&e.ID), &e.Seq, (*text)(&e.Owner), &e.Data); err != nil {
			return err
		}
		visit(e)
	}
	return rows.Err()
}

// What was committed before a call of Feed is to be in it, unless transactions that took
// their positions before are still under way. They take milliseconds; Feed waits for
// them, for a while.
const (
	feedPause    = time.Millisecond
	feedPatience = 200 * time.Millisecond
)

// Feed implements [store.Records]. An event is told of once every transaction has ended
// that may have one before it.
func (s *Store) Feed(ctx context.Context, q store.FeedQuery) (store.FeedPage, error) {
	for end := time.Now().Add(feedPatience); ; {
		p, hidden, err := s.feed(ctx, q)
		if err != nil || !hidden || len(p.Events) > 0 || p.More || time.Now().After(end) {
			return p, err
		}
		select {
		case <-time.After(feedPause):
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// feed reads a page, and reports whether there are events that cannot be told of yet.
// The horizon comes first, and in a statement of its own: what it lets through is
// committed by then, so that the statement after it sees it.
func (s *Store) feed(ctx context.Context, q store.FeedQuery) (p store.FeedPage, hidden bool, err error) {
	limit := max(q.Limit, 1)
	after := int64(min(q.After, 1<<62))
	var horizon, cut uint64
	var more bool
	err = s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT h, set_config('foreman.horizon', h::text, true) FROM (SELECT @.horizon($1) AS h OFFSET 0) x`), s.places).
			QueryRow(func(r pgx.Row) error {
				var text string
				return r.Scan(&horizon, &text)
			})
		b.Queue(s.sql(`SELECT e.pos, e.id, e.seq, e.owner, e.data FROM (
				SELECT * FROM @.events e WHERE e.pos > $1 AND e.pos < current_setting('foreman.horizon')::bigint
				ORDER BY e.pos LIMIT $2) e
			WHERE $3::bytea IS NULL OR e.owner = $3 ORDER BY e.pos LIMIT $4`),
			after, scan, orNull(q.Owner), limit+1).Query(func(rows pgx.Rows) error {
			p, more = store.FeedPage{}, false
			return eachEvent(rows, func(e store.Event) {
				if len(p.Events) == limit {
					more = true
					return
				}
				p.Events = append(p.Events, e)
			})
		})
		b.Queue(s.sql(`SELECT EXISTS (SELECT FROM @.events e WHERE e.pos > $1 AND e.pos >= current_setting('foreman.horizon')::bigint)`),
			after).QueryRow(func(r pgx.Row) error { return r.Scan(&hidden) })
		if q.Owner == "" && limit < scan {
			return // a page that is not full is the last one
		}
		b.Queue(s.sql(`SELECT coalesce((SELECT e.pos FROM @.events e
			WHERE e.pos > $1 AND e.pos < current_setting('foreman.horizon')::bigint ORDER BY e.pos OFFSET $2 LIMIT 1), 0)`),
			after, scan-1).QueryRow(func(r pgx.Row) error { return r.Scan(&cut) })
	})
	switch {
	case err != nil:
		return p, false, err
	case more:
		p.Next, p.More = p.Events[limit-1].Pos, true
	case cut > 0:
		p.Next, p.More = cut, true
	default:
		p.Next = max(q.After, horizon-1)
	}
	return p, hidden, nil
}
