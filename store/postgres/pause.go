package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/foreman-go/foreman/store"
)

// Pause implements [store.Queue].
func (s *Store) Pause(ctx context.Context, p store.Pause) error {
	lanes, err := lanesOf(p)
	if err != nil {
		return err
	}
	// Claims hold the lock together until they have ended, and read what is paused when
	// they have it: so none is under way here, and none begins before this is committed.
	return s.change(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", s.class, lockPause); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql(`INSERT INTO @.paused SELECT false, u.lane FROM unnest($1::bytea[]) u (lane) ON CONFLICT DO NOTHING`), lanes); err != nil {
			return err
		}
		if p.All {
			if _, err := tx.Exec(ctx, s.sql(`INSERT INTO @.paused VALUES (true, '') ON CONFLICT DO NOTHING`)); err != nil {
				return err
			}
		}
		var n int
		if err := tx.QueryRow(ctx, s.sql(`SELECT count(*) FROM @.paused WHERE NOT every`)).Scan(&n); err != nil {
			return err
		}
		if n > store.MaxPaused && len(lanes) > 0 {
			return fmt.Errorf("%w: more than %d lanes would be paused: resume some, or pause all at once", store.ErrFull, store.MaxPaused)
		}
		return nil
	})
}

// Resume implements [store.Queue].
func (s *Store) Resume(ctx context.Context, p store.Pause) error {
	lanes, err := lanesOf(p)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, s.sql(`DELETE FROM @.paused WHERE every AND $1 OR NOT every AND lane = ANY ($2::bytea[])`), p.All, lanes)
		return err
	})
}

// change is a transaction of its own for what is seldom changed.
func (s *Store) change(ctx context.Context, fn func(pgx.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for n := 1; ; n++ {
		err := s.tryChange(timed, fn)
		if !isConflict(err) && !isLocked(err) || n == attempts || timed.Err() != nil {
			return s.tell(ctx, err)
		}
	}
}

func (s *Store) tryChange(ctx context.Context, fn func(pgx.Tx) error) (err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { release(conn, err) }()
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if s.pollOnly {
			if _, err := tx.Exec(ctx, setTransaction); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

// Paused implements [store.Queue].
func (s *Store) Paused(ctx context.Context) (store.Pause, error) {
	var p store.Pause
	err := s.read(ctx, true, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT every, lane FROM @.paused ORDER BY every, lane`)).Query(func(rows pgx.Rows) error {
			p = store.Pause{}
			var every bool
			var lane string
			_, err := pgx.ForEachRow(rows, []any{&every, (*text)(&lane)}, func() error {
				if every {
					p.All = true
				} else {
					p.Lanes = append(p.Lanes, lane)
				}
				return nil
			})
			return err
		})
	})
	return p, err
}

func lanesOf(p store.Pause) ([][]byte, error) {
	lanes := [][]byte{}
	for _, lane := range slices.Compact(slices.Sorted(slices.Values(p.Lanes))) {
		if len(lane) > maxName {
			return nil, tooLong(lane, maxName)
		}
		lanes = append(lanes, []byte(lane))
	}
	return lanes, nil
}
