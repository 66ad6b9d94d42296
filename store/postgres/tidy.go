package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What is claimed leaves dead entries at the front of the indexes, which every claim
// after it passes. The server's autovacuum comes by once a minute at most, when a busy
// queue has left hundreds of thousands; so whoever removes many cleans up behind itself.
const (
	tidyEvery = 20_000 // removals
	tidyShare = 20     // at most one part in so many of the time

	tidyPatience = 10 * time.Minute
)

// tidier cleans the small tables of the queue after many removals, one cleaning at a
// time.
type tidier struct {
	mu      sync.Mutex
	removed int
	busy    bool
	next    time.Time // not before
	all     sync.WaitGroup
}

// note counts removals, and begins to clean when there were enough.
func (y *tidier) note(s *Store, removed int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.removed += removed
	if y.removed < tidyEvery || y.busy || time.Now().Before(y.next) {
		return
	}
	y.removed, y.busy = 0, true
	y.all.Go(func() {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(s.life, tidyPatience)
		err := s.vacuum(ctx)
		cancel()
		if err != nil && s.life.Err() == nil {
			s.log.Warn("cannot clean up behind the queue", "error", err)
		}
		y.mu.Lock()
		defer y.mu.Unlock()
		y.busy, y.next = false, time.Now().Add(tidyShare*time.Since(begun))
	})
}

// wait waits for a cleaning under way. Nothing is noted any more by then.
func (y *tidier) wait() { y.all.Wait() }

// vacuum cleans the tables that change most. A table that somebody else is cleaning is
// left to them.
func (s *Store) vacuum(ctx context.Context) (err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { release(conn, err) }()
	for _, table := range []string{"ready", "deadlines", "delayed", "fronts", "counts"} {
		if _, err := conn.Exec(ctx, s.sql("VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) @."+table)); err != nil {
			return err
		}
	}
	return s.forget(ctx, conn)
}

// forget removes what says nothing any more: turns of owners who have nothing ready, and
// the numbers of lanes that are empty.
func (s *Store) forget(ctx context.Context, conn *pgxpool.Conn) error {
	_, err := conn.Exec(ctx, s.sql(`DELETE FROM @.withdrawn WHERE ctid = ANY (ARRAY(
		SELECT w.ctid FROM @.withdrawn w WHERE w.last = 0 OR NOT EXISTS (
			SELECT FROM @.ready r WHERE r.lane = w.lane AND r.rank = w.rank AND r.owner = w.owner AND r.turn > 0)
		FOR UPDATE SKIP LOCKED))`))
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, s.sql(`SELECT c.name FROM @.counts c WHERE c.kind = 1 GROUP BY c.name HAVING sum(c.n) = 0 LIMIT 1000`))
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return err
	}
	for _, name := range names { // one at a time, for writers hold these rows until they commit
		_, err := conn.Exec(ctx, s.sql(`WITH gone AS (DELETE FROM @.counts c WHERE c.kind = 1 AND c.name = $1 RETURNING c.n)
			INSERT INTO @.counts AS c SELECT 1, $1, $2, sum(n) FROM gone HAVING sum(n) <> 0
			ON CONFLICT (kind, name, slot) DO UPDATE SET n = c.n + excluded.n`), name, s.slot)
		if err != nil && !isConflict(err) {
			return err
		}
	}
	return nil
}
