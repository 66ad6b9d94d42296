package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// A store that only polls leaves nothing in a session. Here all have the same one, so that
// a call which waits for another session in the middle of a transaction waits for ever.
func TestPollOnlyLeavesNothing(t *testing.T) {
	at := pgtest.URL(t)
	b := pgtest.StartBouncer(t, at, 1)
	look := func() (left string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), b.URL)
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), leftovers, pgx.QueryExecModeSimpleProtocol).Scan(&left))
		require.NoError(t, conn.Close(t.Context()))
		return left
	}
	before := look()
	o := &postgres.Options{Schema: pgtest.Schema(t, at), PollOnly: true}
	s := open(t, b.URL, o)
	require.Equal(t, before, look(), "after the migrations")
	everyCall(t, s)
	require.NoError(t, s.Pause(t.Context(), store.Pause{All: true}))
	require.NoError(t, s.Resume(t.Context(), store.Pause{All: true}))
	_, err := s.(store.Shared).Hold(t.Context(), "office", "holder", time.Minute)
	require.NoError(t, err)
	require.NoError(t, postgres.Vacuum(t.Context(), s))
	everyCall(t, open(t, b.URL, o)) // another process, in between
	require.Equal(t, before, look())
}

// leftovers is what a session has beyond its transactions, and which one it is.
const leftovers = `SELECT 'session ' || pg_backend_pid() ||
	', settings: ' || (SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') FROM pg_settings WHERE source = 'session') ||
	', statements: ' || (SELECT count(*) FROM pg_prepared_statements) ||
	', cursors: ' || (SELECT count(*) FROM pg_cursors WHERE is_holdable) ||
	', channels: ' || (SELECT count(*) FROM pg_listening_channels()) ||
	', locks: ' || (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory') ||
	', temporary: ' || (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())`

// PgBouncer refuses settings that it does not keep apart: to wait for it mends nothing.
func TestBouncerRefusesSettings(t *testing.T) {
	url, schema := pgtest.Split(pgtest.PooledPlace(t))
	o := &postgres.Options{Schema: schema, PollOnly: true}
	_, err := postgres.Open(t.Context(), url+"&search_path=public", o)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, "unsupported startup parameter: search_path")
	require.NotErrorIs(t, err, store.ErrUnavailable)
	open(t, url, o)
}
