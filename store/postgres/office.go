package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/foreman-go/foreman/store"
)

var _ store.Shared = (*Store)(nil)

const maxOffice = 128

// Hold implements [store.Shared].
func (s *Store) Hold(ctx context.Context, office, holder string, lease time.Duration) (bool, error) {
	for _, n := range [...]string{office, holder} {
		if n == "" || len(n) > maxOffice {
			return false, fmt.Errorf("%w: an office and its holder have names of 1 to %d bytes", store.ErrInvalid, maxOffice)
		}
	}
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	var err error
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range attempts {
		held := false
		err = s.send(timed, func(b *pgx.Batch) {
			b.Queue(s.sql(`INSERT INTO @.offices AS o VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE o.holder = excluded.holder OR o.until <= clock_timestamp()
			RETURNING true`), []byte(office), []byte(holder), float64(lease.Microseconds())).Query(func(rows pgx.Rows) error {
				held = rows.Next()
				rows.Close()
				return rows.Err()
			})
		})
		if err == nil {
			return held, nil
		}
		if !isPassing(err) || isRefused(err) || timed.Err() != nil {
			break
		}
	}
	return false, s.tell(ctx, err)
}
