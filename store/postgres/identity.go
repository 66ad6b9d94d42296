package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/foreman-go/foreman/store"
)

var _ store.Identified = (*Store)(nil)

// ID implements [store.Identified]. The id is in a table of the schema.
func (s *Store) ID(ctx context.Context) (string, error) {
	var id string
	err := s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT id FROM @.identity`)).QueryRow(func(row pgx.Row) error { return row.Scan(&id) })
	})
	return id, err
}
