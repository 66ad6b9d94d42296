package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
)

func TestServerIsPrivateAndDurable(t *testing.T) {
	s := pgtest.Start(t)
	do := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), s.URL)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), sql)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
	do("CREATE TABLE kept ()")
	s.Stop(t)
	_, err := pgx.Connect(t.Context(), s.URL)
	require.Error(t, err)
	s.Start(t)
	do("ALTER TABLE kept ADD COLUMN n integer")
	s.Crash(t)
	s.Start(t)
	do("INSERT INTO kept (n) VALUES (1)")
}

// A server that is named is used, and left as it was.
func TestNamedServer(t *testing.T) {
	s := pgtest.Start(t)
	t.Setenv(pgtest.Variable, s.URL)
	schemas := func() (n int) {
		conn, err := pgx.Connect(t.Context(), s.URL)
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'test_%'").Scan(&n))
		require.NoError(t, conn.Close(t.Context()))
		return n
	}
	t.Run("test", func(t *testing.T) {
		url, schema := pgtest.Split(pgtest.Place(t))
		require.Contains(t, url, s.URL)
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE SCHEMA "+schema)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		require.Equal(t, 1, schemas())
	})
	require.Zero(t, schemas())
}
