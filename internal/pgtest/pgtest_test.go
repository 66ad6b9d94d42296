package pgtest_test

import (
	"net/url"
	"strings"
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

// Who is connected to a PgBouncer has whichever connection to the server is free, with
// what others have left there.
func TestBouncerSharesConnections(t *testing.T) {
	s := pgtest.Start(t)
	b := pgtest.StartBouncer(t, s.URL, 1)
	one, err := pgx.Connect(t.Context(), b.URL)
	require.NoError(t, err)
	two, err := pgx.Connect(t.Context(), b.URL)
	require.NoError(t, err)
	_, err = one.Exec(t.Context(), "SET statement_timeout = '4711s'")
	require.NoError(t, err)
	var left string
	require.NoError(t, two.QueryRow(t.Context(), "SHOW statement_timeout", pgx.QueryExecModeSimpleProtocol).Scan(&left))
	require.Equal(t, "4711s", left)
	b.Stop(t)
	require.Error(t, two.Ping(t.Context()))
	b.Start(t)
	two, err = pgx.Connect(t.Context(), b.URL)
	require.NoError(t, err)
	require.NoError(t, two.Ping(t.Context()))
	require.NoError(t, two.Close(t.Context()))
	require.Error(t, one.Ping(t.Context()))
}

// A PgBouncer logs in as the URL says, whatever is in the password.
func TestBouncerHasPassword(t *testing.T) {
	s := pgtest.Start(t)
	conn, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE ROLE plain LOGIN PASSWORD 'a''b c;#='")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	s.AskForPasswords(t, "plain")
	b := pgtest.StartBouncer(t, strings.Replace(s.URL, "foreman@", url.UserPassword("plain", "a'b c;#=").String()+"@", 1), 1)
	conn, err = pgx.Connect(t.Context(), b.URL)
	require.NoError(t, err)
	var user string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_user").Scan(&user))
	require.Equal(t, "plain", user)
	require.NoError(t, conn.Close(t.Context()))
}
