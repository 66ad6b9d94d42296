package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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

// migrate brings the schema up to date. Whoever comes meanwhile waits: the lock is that of a
// transaction, which works behind PgBouncer too, where one of a session does not. All that
// is done under it is done in that transaction, for there may be no second connection to be
// had; and nobody waits for it in one, for many would have all that there are.
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
	defer func() { _ = tx.Rollback() }() // if it was not committed
	if _, err := tx.ExecContext(ctx, unlimited); err != nil {
		return false, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", s.class, lockMigrate).Scan(&mine); err != nil || !mine {
		return false, err
	}
	if err := s.makeSchema(ctx, tx); err != nil {
		return true, err
	}
	if err := s.migrateIn(ctx, tx); err != nil {
		return true, advise(err)
	}
	return true, tx.Commit()
}

// advise says what to do where the schema cannot be what it is to be.
func advise(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && pg.Code == codeForbidden:
		return fmt.Errorf("it has to be owned by this user, with all that is in it: %w", err)
	case ok && pg.Code == codeTableThere:
		return fmt.Errorf("%w: it holds something else: choose another one: %w", store.ErrInvalid, err)
	}
	return err
}

// makeSchema makes the schema if it is not there.
func (s *Store) makeSchema(ctx context.Context, tx *sql.Tx) error {
	var reserved, there bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_get_keywords() k WHERE k.word = $1 AND k.catcode IN ('R', 'T')),
		EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, s.schema).Scan(&reserved, &there)
	switch {
	case err != nil:
		return err
	case reserved:
		return fmt.Errorf("%w: it is a word of SQL, and cannot be a name: choose another one", store.ErrInvalid)
	case there:
		return nil
	}
	if _, err := tx.ExecContext(ctx, "CREATE SCHEMA "+s.schema); err != nil {
		return fmt.Errorf("it is not there and cannot be made: create it, owned by this user: %w", err)
	}
	return nil
}

// migrateIn makes what is to be in the schema, as far as it is not there.
func (s *Store) migrateIn(ctx context.Context, tx *sql.Tx) error {
	book, err := database.NewStore(goose.DialectPostgres, s.schema+".migrations")
	if err != nil {
		return err
	}
	var begun bool
	err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'migrations')", s.schema).Scan(&begun)
	if err != nil {
		return err
	}
	if !begun {
		if err := book.CreateVersionTable(ctx, tx); err != nil {
			return err
		}
		if err := book.Insert(ctx, tx, database.InsertRequest{}); err != nil {
			return err
		}
	}
	has, err := book.GetLatestVersion(ctx, tx)
	if err != nil {
		return err
	}
	return s.migrateFrom(ctx, tx, book, has)
}

// migrateFrom carries out the embedded files from a version on, in their order.
func (s *Store) migrateFrom(ctx context.Context, tx *sql.Tx, book database.Store, has int64) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	var knows int64
	for _, name := range names {
		if knows, err = goose.NumericComponent(name); err != nil {
			return err
		}
		if knows <= has {
			continue
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, s.sql(string(text))); err != nil { // without arguments it may be many statements
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := book.Insert(ctx, tx, database.InsertRequest{Version: knows}); err != nil {
			return err
		}
	}
	if has > knows {
		return fmt.Errorf("it is at version %d, and this program knows %d: use a newer program, or give this one a schema of its own", has, knows)
	}
	return nil
}
