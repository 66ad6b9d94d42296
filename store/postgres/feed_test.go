package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// A transaction that has taken its positions and not yet ended holds back what was
// committed after them; one that is not of this store, however long, does not.
func TestFeedWaitsForOurOwn(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	first := insert(t, s, job("owner"))[0].Head
	feed := func(after uint64) store.FeedPage {
		t.Helper()
		p, err := s.Feed(t.Context(), store.FeedQuery{After: after, Limit: 10})
		require.NoError(t, err)
		return p
	}
	begin := func() pgx.Tx {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(t.Context()) }) // the test may have ended it
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		return tx
	}
	stranger := begin()
	var xid string
	require.NoError(t, stranger.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text").Scan(&xid))
	p := feed(0)
	require.Len(t, p.Events, 1)
	require.Equal(t, first.ID, p.Events[0].ID)

	slow := begin()
	_, places := postgres.Classes(schema)
	var taken []int64
	require.NoError(t, slow.QueryRow(t.Context(), "SELECT "+schema+".take_positions($1, 1)", places).Scan(&taken))
	second := insert(t, s, job("owner"))[0].Head
	held := feed(p.Next)
	require.Empty(t, held.Events, "one before it may still come")
	require.Less(t, held.Next, uint64(taken[0]))
	_, err := slow.Exec(t.Context(), "INSERT INTO "+schema+".events (pos, id, seq, owner, data) VALUES ($1, gen_random_uuid(), 1, '', '')", taken[0])
	require.NoError(t, err)
	require.NoError(t, slow.Commit(t.Context()))
	p = feed(held.Next)
	require.Len(t, p.Events, 2)
	require.EqualValues(t, taken[0], p.Events[0].Pos)
	require.Equal(t, second.ID, p.Events[1].ID)
	require.NoError(t, stranger.Rollback(t.Context()))
}

// A claim under way writes no events yet, and holds back none of others.
func TestFeedDoesNotWaitForClaims(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	for range 10 {
		insert(t, s, job("owner"))
	}
	class, places := postgres.Classes(schema)
	require.NotEqual(t, class, places)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock_shared($1, 2)", class) // as claims do
	require.NoError(t, err)
	p, err := s.Feed(t.Context(), store.FeedQuery{Limit: 100})
	require.NoError(t, err)
	require.Len(t, p.Events, 10)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, conn.Close(t.Context()))
}
