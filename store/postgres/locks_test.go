package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// hold has somebody lock what a statement names, until the function that it returns is
// called.
func hold(t *testing.T, url, text string, args ...any) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), text, args...)
	require.NoError(t, err)
	release = sync.OnceFunc(func() {
		require.NoError(t, tx.Rollback(context.Background()))
		require.NoError(t, conn.Close(context.Background()))
	})
	t.Cleanup(release)
	return release
}

// Transactions lock in an order, so that none has to be broken off for another: neither
// over several lanes, whose numbers all change, nor over deliveries.
func TestNoDeadlocks(t *testing.T) {
	server := pgtest.Start(t)
	stores := []store.Store{open(t, server.URL, nil), open(t, server.URL, nil)}
	var left atomic.Int64
	left.Store(8000)
	if testing.Short() {
		left.Store(2000)
	}
	hook := func(seq uint64) []store.Delivery {
		return []store.Delivery{{Seq: seq, Endpoint: "endpoint", URL: "url", Body: []byte("{}")}}
	}
	var all sync.WaitGroup
	for i := range 16 {
		s := stores[i%2]
		all.Go(func() {
			for n := 0; left.Add(-1) > 0; n++ {
				in := job(fmt.Sprint("owner ", n%2))
				in.Head.Lane = fmt.Sprint("lane ", (i+n)%3)
				var err error
				switch i / 2 % 4 {
				case 0:
					_, err = s.Insert(t.Context(), []store.Insertion{in})
				case 1:
					in.Deliveries = hook(1)
					_, err = s.Insert(t.Context(), []store.Insertion{in})
				case 2:
					var records []store.Record
					records, err = s.Claim(t.Context(), store.Claim{Worker: "w", Lane: in.Head.Lane, Limit: 3, Lease: time.Hour}, func(r store.Record) store.Change {
						c := started(r)
						c.Deliveries = hook(c.Head.Seq)
						return c
					})
					var changes []store.Change
					for _, r := range records {
						changes = append(changes, ended(r.Head))
					}
					if err == nil {
						_, err = s.Apply(t.Context(), changes)
					}
				case 3:
					var list []store.Delivery
					list, err = s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Worker: "w", Limit: 10, Lease: time.Hour})
					var out []store.Settlement
					for _, d := range list {
						out = append(out, store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Delivered})
					}
					if err == nil {
						_, err = s.SettleDeliveries(t.Context(), out)
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, s := range stores {
		require.NoError(t, s.Close()) // which has its connections report
	}
	var deadlocks, commits int
	eventually(t, "the server to count", func() bool {
		sql(t, server.URL, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()", &commits)
		return commits > 500
	})
	sql(t, server.URL, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", &deadlocks)
	require.Zero(t, deadlocks)
	for what, text := range map[string]string{
		"ready":   "SELECT (SELECT count(*) FROM foreman.ready) - (SELECT coalesce(sum(n), 0) FROM foreman.counts WHERE kind = 1)",
		"pending": "SELECT (SELECT count(*) FROM foreman.deliveries WHERE state = 'pending') - (SELECT coalesce(sum(n), 0) FROM foreman.counts WHERE kind = 2)",
	} {
		var off int
		sql(t, server.URL, text, &off)
		require.Zero(t, off, what)
	}
}

// A record that is due while somebody has it locked is left to them: nobody asks for it
// again and again.
func TestDueButLocked(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.URL, nil)
	in := job("owner")
	in.Head.RunAt = time.Now().Add(time.Hour)
	insert(t, s, in)
	sql(t, server.URL, "UPDATE foreman.heads SET run_at = '2020-01-01'")
	sql(t, server.URL, "UPDATE foreman.delayed SET run_at = '2020-01-01'")
	release := hold(t, server.URL, "SELECT FROM foreman.heads FOR UPDATE")
	lanes, err := s.Lanes(t.Context())
	require.NoError(t, err)
	require.Empty(t, lanes)
	_, ready, err := s.Position(t.Context(), in.Head.ID, 10)
	require.NoError(t, err)
	require.False(t, ready)
	release()
	lanes, err = s.Lanes(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, lanes[0].Ready)
}

// When very much becomes due at once, no call takes it all on itself, and whoever asks
// what is to come is told to look again.
func TestMuchDueAtOnce(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	const much = 12_000
	list := make([]store.Insertion, much)
	for i := range list {
		list[i] = job("owner")
		list[i].Spec, list[i].Head.RunAt = nil, time.Now().Add(time.Hour)
		list[i].Deliveries = []store.Delivery{{Seq: 1, Endpoint: "endpoint", Due: list[i].Head.RunAt}}
	}
	insert(t, s, list...)
	due := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	sql(t, url, "UPDATE "+schema+".heads SET run_at = '2020-01-01Z'")
	sql(t, url, "UPDATE "+schema+".delayed SET run_at = '2020-01-01Z'")
	sql(t, url, "UPDATE "+schema+".fronts SET at = '2020-01-01Z'")
	ready := func() int {
		t.Helper()
		lanes, err := s.Lanes(t.Context())
		require.NoError(t, err)
		return lanes[0].Ready
	}
	for _, want := range []int{5000, 10_000, much} {
		u, err := s.Upcoming(t.Context())
		require.NoError(t, err)
		if want < much {
			require.Equal(t, due, u.Run)
			require.Equal(t, due, u.Delivery)
		} else {
			require.Zero(t, u)
		}
		require.Equal(t, want, ready())
		claimed, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 1, Lease: time.Hour})
		require.NoError(t, err)
		require.Len(t, claimed, 1)
	}
}

// waiting waits until so many connections to a database wait for locks.
func waiting(t *testing.T, url string, n int) {
	t.Helper()
	eventually(t, "somebody to wait for a lock", func() bool {
		var have int
		sql(t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'", &have)
		return have >= n
	})
}

// Whoever has locked records keeps up what is to change them, and nothing else: not even as
// many as there are transactions at once.
func TestLockedRecordsStallNobodyElse(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.URL, nil)
	a, b, c, mine := job("owner"), job("owner"), job("owner"), job("owner")
	mine.Head.Lane = "mine"
	insert(t, s, a, b, c, mine)
	r := claimOf(t, s, "mine", 1)[0]
	release := hold(t, server.URL, "SELECT FROM foreman.heads WHERE lane = 'lane' FOR UPDATE")
	var all sync.WaitGroup
	for i, in := range []store.Insertion{a, b, c} {
		in.Head.Version = 1
		if i > 0 {
			waiting(t, server.URL, i)
		}
		all.Go(func() {
			results, err := s.Apply(t.Context(), []store.Change{ended(in.Head)})
			if err != nil || results[0].Err != nil {
				t.Error(err, results)
			}
		})
	}
	begun := time.Now()
	for range 20 {
		_, err := s.Extend(t.Context(), []store.Ref{r.Ref()}, time.Hour)
		require.NoError(t, err)
		insert(t, s, job("owner"))
	}
	require.Less(t, time.Since(begun), 3*time.Second, "one is for how long a lock is waited for, twice")
	release()
	all.Wait()
}

// What is locked for too long cannot be reached, within the time that any call may take.
func TestLockedForTooLong(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.URL, nil)
	release := hold(t, server.URL, "LOCK TABLE foreman.heads IN ACCESS EXCLUSIVE MODE")
	var all sync.WaitGroup
	for _, call := range []func() error{
		func() error { _, err := s.Insert(t.Context(), []store.Insertion{job("owner")}); return err },
		func() error { _, err := s.Insert(t.Context(), []store.Insertion{job("owner")}); return err },
		func() error { _, err := s.Get(t.Context(), job("owner").Head.ID); return err },
	} {
		all.Go(func() {
			begun := time.Now()
			if err := call(); !errors.Is(err, store.ErrUnavailable) || time.Since(begun) > 10*time.Second {
				t.Error(err, time.Since(begun))
			}
		})
	}
	all.Wait()
	release()
	insert(t, s, job("owner"))
}

// A process that has stopped in the middle of a Pause does not keep others from claiming.
func TestStoppedPauseGivesUp(t *testing.T) {
	for _, pollOnly := range []bool{false, true} {
		url, schema := pgtest.Split(pgtest.Place(t))
		s := open(t, url, &postgres.Options{Schema: schema, PollOnly: pollOnly})
		class, _ := postgres.Classes(schema)
		release := hold(t, url, "SELECT pg_advisory_xact_lock_shared($1, 2)", class)
		paused := make(chan error, 1)
		go func() { paused <- s.Pause(t.Context(), store.Pause{All: true}) }()
		waiting(t, url, 1)
		// Its settings cannot be seen from here, but that it waits no longer than it is to.
		begun := time.Now()
		eventually(t, "it to wait anew", func() bool {
			var age float64
			sql(t, url, fmt.Sprintf(`SELECT coalesce(min(extract(epoch FROM clock_timestamp() - xact_start)), 9)::float8 FROM pg_stat_activity
				WHERE application_name = '%s' AND query LIKE '%%pg_advisory_xact_lock%%' AND wait_event_type = 'Lock'`, schema), &age)
			return age < 0.5 && time.Since(begun) > 600*time.Millisecond
		})
		release()
		require.NoError(t, <-paused)
	}
}
