package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/foreman-go/foreman/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migratePause is how often whoever waits for the migrations of another looks whether they
// are over.
const migratePause = 50 * time.Millisecond

// unlimited has a transaction wait as long as it takes: migrations may take their time.
const unlimited = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"

// migrate brings the schema up to date, on connections of its own. Whoever comes meanwhile
// waits: the lock is that of a transaction, which works behind PgBouncer too, where one of
// a session does not. Nobody waits in a transaction, for many would have all connections
// that there are, and who has the lock needs two.
func (s *Store) migrate(ctx context.Context) error {
	db := stdlib.OpenDB(*s.pool.Config().ConnConfig)
	defer func() { _ = db.Close() }() // whatever it says, there is nothing left to do
	for {
		mine, err := s.tryMigrate(ctx, db)
		if mine || err != nil {
			return err
		}
		select {
		case <-time.After(migratePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryMigrate migrates unless somebody else does.
func (s *Store) tryMigrate(ctx context.Context, db *sql.DB) (mine bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // it has changed nothing
	if _, err := tx.ExecContext(ctx, unlimited); err != nil {
		return false, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", s.class, lockMigrate).Scan(&mine); err != nil || !mine {
		return false, err
	}
	var reserved, there bool
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_get_keywords() k WHERE k.word = $1 AND k.catcode IN ('R', 'T')),
		EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, s.schema).Scan(&reserved, &there)
	switch {
	case err != nil:
		return true, err
	case reserved:
		return true, fmt.Errorf("%w: it is a word of SQL, and cannot be a name: choose another one", store.ErrInvalid)
	case !there:
		if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+s.schema); err != nil {
			return true, fmt.Errorf("it is not there and cannot be made: create it, owned by this user: %w", err)
		}
	}
	return true, s.migrateWith(ctx, db)
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
			_, err := tx.ExecContext(ctx, unlimited+"; "+script) // without arguments it may be many statements
			return err
		}
		all = append(all, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil))
	}
	return all, nil
}
