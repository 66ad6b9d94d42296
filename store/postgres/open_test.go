package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// sql runs a statement as nobody in particular.
func sql(t testing.TB, url, text string, dest ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // for cleanups too
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	if len(dest) == 0 {
		_, err = conn.Exec(ctx, text)
	} else {
		err = conn.QueryRow(ctx, text).Scan(dest...)
	}
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))
}

func TestOpenManyAtOnce(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	stores := make([]store.Store, 6)
	errs := make([]error, len(stores))
	var all sync.WaitGroup
	for i := range stores {
		all.Go(func() {
			stores[i], errs[i] = postgres.Open(t.Context(), url, &postgres.Options{Schema: schema, PollOnly: i%2 == 1})
		})
	}
	all.Wait()
	for i, s := range stores {
		require.NoError(t, errs[i])
		insert(t, s, job("owner"))
	}
	lanes, err := stores[0].Lanes(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(stores), lanes[0].Ready)
	for _, s := range stores {
		require.NoError(t, s.Close())
	}
}

// A program that is older than the schema must not touch it.
func TestOpenNewerSchema(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	o := &postgres.Options{Schema: schema}
	s, err := postgres.Open(t.Context(), url, o)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	sql(t, url, "INSERT INTO "+schema+".migrations (version_id, is_applied) VALUES (4711, true)")
	_, err = postgres.Open(t.Context(), url, o)
	require.ErrorContains(t, err, "schema "+schema+": it is at version 4711, and this program knows ")
	require.ErrorContains(t, err, ": use a newer program")
}

func TestOpenRefuses(t *testing.T) {
	url := pgtest.URL(t)
	for _, schema := range []string{
		"a-b", "a b", "1a", `"`, "é", "A", "a;drop", string(make([]byte, 41)),
		"public", "information_schema", "pg_foreman", "user", "table", "order",
	} {
		_, err := postgres.Open(t.Context(), url, &postgres.Options{Schema: schema})
		require.ErrorIs(t, err, store.ErrInvalid, schema)
	}
	_, err := postgres.Open(t.Context(), "postgres://127.0.0.1:1/x?sslmode=disable", nil)
	require.ErrorIs(t, err, store.ErrUnavailable)
	url, schema := pgtest.Split(pgtest.Place(t))
	_, isMessenger := open(t, url, &postgres.Options{Schema: schema, PollOnly: true}).(store.Messenger)
	require.False(t, isMessenger)
}

// A user who may not make schemas can be given one.
func TestOpenGivenSchema(t *testing.T) {
	url, schema, role := pgtest.Start(t).URL, "given", "plain" // a role would outlive the test
	sql(t, url, "CREATE ROLE "+role+" LOGIN")
	c, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	as := fmt.Sprintf("postgres://%s@%s:%d/%s?sslmode=disable", role, c.Host, c.Port, c.Database)
	o := &postgres.Options{Schema: schema}
	_, err = postgres.Open(t.Context(), as, o)
	require.ErrorContains(t, err, "it is not there and cannot be made: create it, owned by this user")
	sql(t, url, "CREATE SCHEMA "+schema+" AUTHORIZATION "+role)
	s := open(t, as, o)
	insert(t, s, job("owner"))
	require.Len(t, claim(t, s, 9), 1)
	require.NoError(t, s.Close())

	sql(t, url, "ALTER TABLE "+schema+".migrations OWNER TO foreman")
	_, err = postgres.Open(t.Context(), as, o)
	require.ErrorContains(t, err, "schema given: it has to be owned by this user, with all that is in it: ")
	require.ErrorContains(t, err, "permission denied for table migrations")
	require.NotErrorIs(t, err, store.ErrInvalid, "the setting is right")
}

// A schema that has tables of others is left as it is.
func TestOpenSchemaOfOthers(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	sql(t, url, "CREATE SCHEMA "+schema)
	sql(t, url, "CREATE TABLE "+schema+".heads ()")
	_, err := postgres.Open(t.Context(), url, &postgres.Options{Schema: schema})
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, "it holds something else: choose another one: ")
	var columns int
	sql(t, url, "SELECT count(*) FROM information_schema.columns WHERE table_schema = '"+schema+"' AND table_name = 'heads'", &columns)
	require.Zero(t, columns)
}

// One process's clock is an hour off: leases and times are by the database's.
func TestLeaseByDatabaseTime(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	insert(t, s, job("owner"))
	r := claim(t, s, 1)[0]
	var now time.Time
	sql(t, url, "SELECT clock_timestamp()", &now)
	require.WithinDuration(t, now.Add(time.Hour), r.Deadline, patience)
	// What the database has is what counts, whoever asks.
	sql(t, url, "UPDATE "+schema+".deadlines SET at = clock_timestamp() - interval '1 microsecond'")
	heads, err := s.Overdue(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, heads, 1)
}
