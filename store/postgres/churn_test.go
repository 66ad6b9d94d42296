package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// However many records have come and gone, the tables of the queue do not grow: dead rows
// are cleaned up behind it, by itself.
func TestChurnLeavesNothing(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	const batch = 500
	cycles := 120
	if testing.Short() {
		cycles = 40
	}
	pages := func() (n int) {
		sql(t, url, fmt.Sprintf(`SELECT sum(pg_indexes_size(c.oid) + pg_relation_size(c.oid)) / 8192 FROM pg_class c
			WHERE relnamespace = '%s'::regnamespace AND relname IN ('ready', 'deadlines', 'delayed', 'fronts', 'counts', 'withdrawn')`, schema), &n)
		return n
	}
	var most, half int
	for i := range cycles {
		lane := fmt.Sprint("lane ", i/10)
		list := make([]store.Insertion, batch)
		for j := range list {
			list[j] = job(fmt.Sprint("owner ", j%7))
			list[j].Head.Priority, list[j].Head.Lane = int32(j%2), lane
		}
		insert(t, s, list...)
		records := claimOf(t, s, lane, batch)
		require.Len(t, records, batch)
		changes, refs := make([]store.Change, batch), make([]store.Ref, batch)
		for j, r := range records {
			changes[j] = ended(r.Head)
		}
		results, err := s.Apply(t.Context(), changes)
		require.NoError(t, err)
		for j, r := range results {
			refs[j] = r.Head.Ref()
		}
		_, err = s.Delete(t.Context(), refs)
		require.NoError(t, err)
		if most = max(most, pages()); i == cycles/2 {
			half = most
		}
	}
	var lanes int
	sql(t, url, "SELECT count(DISTINCT name) FROM "+schema+".counts WHERE kind = 1", &lanes)
	require.Less(t, lanes, 8, "of lanes that are empty nothing stays")
	t.Logf("%d records: %d pages in the first half, %d in all", cycles*batch, half, most)
	require.Less(t, most, 6000)
	require.LessOrEqual(t, most, half*3/2+100, "it goes on growing")
}

// No statement reads a table from end to end, with or without statistics, nor when a
// table is so small that the planner would like to.
func TestStatementsUseIndexes(t *testing.T) {
	for _, pollOnly := range []bool{false, true} {
		url, schema := pgtest.Split(pgtest.Place(t))
		o := &postgres.Options{Schema: schema, PollOnly: pollOnly}
		s := open(t, url, o)
		scans := func() (list string) {
			sql(t, url, fmt.Sprintf(`SELECT coalesce(string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname), '') FROM pg_stat_user_tables
				WHERE schemaname = '%s' AND seq_scan > 0 AND relname NOT IN ('migrations', 'paused')`, schema), &list)
			return list
		}
		require.NoError(t, s.Close()) // which has its connections report
		eventually(t, "the server to count", func() bool { return strings.Contains(scans(), "withdrawn") })
		before := scans() // for each index one, that it was made by
		s = open(t, url, o)
		many := make([]store.Insertion, 3000)
		crowd := func() {
			for i := range many {
				many[i] = job("owner 1")
				many[i].Deliveries = []store.Delivery{{ID: many[i].Head.ID, Seq: 1, Endpoint: "endpoint", State: store.Pending}}
			}
			insert(t, s, many...)
		}
		crowd() // plans are made now, without statistics
		everyCall(t, s)
		require.NoError(t, s.Close())
		sql(t, url, "ANALYZE")
		s = open(t, url, o)
		everyCall(t, s)
		crowd() // which the plans made so far know nothing of
		everyCall(t, s)
		require.NoError(t, s.Close())
		var n int
		eventually(t, "the server to count", func() bool {
			sql(t, url, fmt.Sprintf(`SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE schemaname = '%s' AND relname = 'heads'`, schema), &n)
			return n >= 3*calls+2*len(many)
		})
		var wide string // what reads far more than it looks for, by the index
		sql(t, url, fmt.Sprintf(`SELECT coalesce(string_agg(indexrelname || ' ' || (idx_blks_hit + idx_blks_read) / idx_scan, ', '), '')
			FROM pg_stat_user_indexes JOIN pg_statio_user_indexes USING (schemaname, relname, indexrelname)
			WHERE schemaname = '%s' AND idx_scan > 0 AND idx_blks_hit + idx_blks_read > 12 * (idx_scan + 2 * %d)
				AND relname IN ('ready', 'deadlines', 'delayed', 'fronts', 'deliveries', 'bodies', 'specs', 'outcomes')`, schema, len(many)), &wide)
		require.Empty(t, wide, "poll only: %v", pollOnly)
		require.Equal(t, before, scans(), "poll only: %v", pollOnly)
	}
}

const calls = 60

// everyCall makes every call of a store, more often than it takes for plans to be kept.
func everyCall(t *testing.T, s store.Store) {
	ctx := t.Context()
	for i := range calls {
		in := job(fmt.Sprint("owner ", i%3))
		in.Head.IdempotencyKey, in.Head.Labels = in.Head.ID.String(), map[string]string{"a": "b"}
		in.Deliveries = []store.Delivery{{ID: in.Head.ID, Seq: 1, Endpoint: "endpoint", URL: "http://127.0.0.1", State: store.Pending, Body: []byte("body")}}
		if i%4 == 0 {
			in.Head.RunAt = time.Now().Add(time.Millisecond)
		}
		insert(t, s, in)
		records := claim(t, s, 1)
		list, err := s.ClaimDeliveries(ctx, store.DeliveryClaim{Worker: "w", Limit: 2, Lease: time.Hour})
		require.NoError(t, err)
		for _, d := range list {
			_, err := s.SettleDeliveries(ctx, []store.Settlement{{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Delivered}})
			require.NoError(t, err)
		}
		for _, r := range records {
			_, err = s.Extend(ctx, []store.Ref{r.Ref()}, time.Hour)
			require.NoError(t, err)
			results, err := s.Apply(ctx, []store.Change{ended(r.Head)})
			require.NoError(t, err)
			if i%3 == 0 {
				_, err = s.Delete(ctx, []store.Ref{results[0].Head.Ref()})
				require.NoError(t, err)
			}
		}
		_, err = s.Get(ctx, in.Head.ID)
		require.Condition(t, func() bool { return err == nil || i%3 == 0 })
		_, err = s.List(ctx, store.Query{Owner: "owner 1", Labels: in.Head.Labels, Before: in.Head.ID, Limit: 10})
		require.NoError(t, err)
		_, err = s.Events(ctx, in.Head.ID, 0, 10)
		require.NoError(t, err)
		_, err = s.Feed(ctx, store.FeedQuery{Owner: "owner 1", Limit: 10})
		require.NoError(t, err)
		_, _, err = s.Position(ctx, in.Head.ID, 10)
		require.Condition(t, func() bool { return err == nil || i%3 == 0 })
		_, err = s.Lanes(ctx)
		require.NoError(t, err)
		_, err = s.Overdue(ctx, 10)
		require.NoError(t, err)
		_, err = s.Upcoming(ctx)
		require.NoError(t, err)
		_, err = s.Deliveries(ctx, in.Head.ID)
		require.NoError(t, err)
		_, err = s.Backlog(ctx)
		require.NoError(t, err)
	}
}

// Many events in one transaction take their places one after the other.
func TestPositionsOfManyEvents(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	const events = 9000
	in := job("owner")
	in.Head.Seq, in.Events = events, nil
	for seq := range uint64(events) {
		in.Events = append(in.Events, store.Event{ID: in.Head.ID, Seq: seq + 1})
	}
	insert(t, s, job("owner"), in, job("owner"))
	page, err := s.Feed(t.Context(), store.FeedQuery{Limit: events + 2})
	require.NoError(t, err)
	require.Len(t, page.Events, events+2)
	for i, e := range page.Events[1 : events+1] {
		require.EqualValues(t, i+1, e.Seq)
		require.Greater(t, e.Pos, page.Events[i].Pos)
	}
}
