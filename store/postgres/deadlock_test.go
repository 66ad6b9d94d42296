package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
)

// Transactions of a process, and of several, wait for each other in one order only: a
// deadlock would be found after a second, in which all that it holds stands still.
func TestNoDeadlocks(t *testing.T) {
	server := pgtest.Start(t)
	stores := []store.Store{open(t, server.URL, nil), open(t, server.URL, nil)}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for n := range 24 {
		s := stores[n%len(stores)]
		all.Go(func() {
			for i := n; ctx.Err() == nil; i++ {
				lane := fmt.Sprint("lane ", i%5)
				in := job(fmt.Sprint("owner ", i%3))
				in.Head.Lane = lane
				in.Deliveries = []store.Delivery{{ID: in.Head.ID, Seq: 1, State: store.Pending, Endpoint: lane, URL: "u", Body: []byte("b")}}
				if n%3 == 0 {
					_, err := s.Insert(ctx, []store.Insertion{in})
					if !judged(ctx, t, err) {
						return
					}
					continue
				}
				records, err := s.Claim(ctx, store.Claim{Worker: "w", Lane: lane, Limit: 4, Lease: time.Minute}, started)
				if !judged(ctx, t, err) {
					return
				}
				var changes []store.Change
				for _, r := range records {
					c := ended(r.Head)
					c.Deliveries = []store.Delivery{{ID: r.ID, Seq: c.Head.Seq, State: store.Pending, Endpoint: lane, URL: "u", Body: []byte("b")}}
					changes = append(changes, c)
				}
				_, err = s.Apply(ctx, changes)
				if !judged(ctx, t, err) {
					return
				}
				ds, err := s.ClaimDeliveries(ctx, store.DeliveryClaim{Worker: "w", Limit: 8, PerEndpoint: 8, Lease: time.Minute})
				if !judged(ctx, t, err) {
					return
				}
				var settled []store.Settlement
				for _, d := range ds {
					settled = append(settled, store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Delivered})
				}
				_, err = s.SettleDeliveries(ctx, settled)
				if !judged(ctx, t, err) {
					return
				}
			}
		})
	}
	all.Wait()
	for _, s := range stores {
		require.NoError(t, s.Close()) // so that their servers have told their numbers
	}
	var deadlocks, commits int
	require.Eventually(t, func() bool {
		var open int
		sql(t, server.URL, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'foreman'", &open)
		return open == 0
	}, patience, 10*time.Millisecond)
	sql(t, server.URL, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", &deadlocks)
	sql(t, server.URL, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()", &commits)
	require.Zero(t, deadlocks, "in %d transactions", commits)
	t.Logf("%d transactions", commits)
}

// judged reports whether a call has worked, which it has to while ctx lasts.
func judged(ctx context.Context, t *testing.T, err error) bool {
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	return err == nil
}
