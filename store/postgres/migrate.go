package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Whoever comes meanwhile waits: the lock is that
// of a transaction, which works behind PgBouncer too, where one of a session does not.
func (s *Store) migrate(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// It waits for the migrations, which may take their time.
		if _, err := tx.Exec(ctx, "SET LOCAL "+idle+" = 0"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", s.class, lockMigrate); err != nil {
			return err
		}
		var there bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.schema).Scan(&there)
		if err != nil {
			return err
		}
		db := stdlib.OpenDBFromPool(s.pool)
		defer func() { _ = db.Close() }() // the pool stays
		if !there {
			if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+s.schema); err != nil {
				return fmt.Errorf("it is not there and cannot be made: create it, owned by this user: %w", err)
			}
		}
		return s.migrateWith(ctx, db)
	})
}

func (s *Store) migrateWith(ctx context.Context, db *sql.DB) error {
	book, err := database.NewStore(goose.DialectPostgres, s.schema+".migrations")
	if err != nil {
		return err
	}
	all, err := s.migrations()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider("", db, nil, goose.WithStore(book), goose.WithGoMigrations(all...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	has, knows, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case has > knows:
		return fmt.Errorf("it is at version %d, and this program knows %d: use a newer program, or give this one a schema of its own", has, knows)
	case has == knows:
		return nil
	}
	_, err = p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return partial.Err
	}
	return err
}

// migrations are the embedded files, by the numbers they begin with.
func (s *Store) migrations() ([]*goose.Migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []*goose.Migration
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		script := strings.ReplaceAll(string(text), "@.", s.schema+".")
		up := func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, script) // without arguments it may be many statements
			return err
		}
		all = append(all, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil))
	}
	return all, nil
}
