package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
)

// BenchmarkChurn has b.N records come, run and go, of which 20,000 at most are there at one
// time: each with a webhook, one in five delayed. It reports how large the schema gets in
// the first half and in all, and how many dead rows there are in the end. A day in which
// ten jobs are submitted each second is 864,000; here there are up to 3,000 in a second, so
// that autovacuum, which looks once a minute, looks once a second.
func BenchmarkChurn(b *testing.B) {
	url := pgtest.Start(b).URL
	sql(b, url, "ALTER SYSTEM SET autovacuum_naptime = '1s'")
	sql(b, url, "SELECT pg_reload_conf()")
	s := open(b, url, nil)
	const workers, batch, kept = 4, 250, 20
	var begun, over atomic.Int64
	var mu sync.Mutex
	var half, most float64
	look := func(n int64) {
		var mib float64
		sql(b, url, `SELECT sum(pg_total_relation_size(oid)) / 1048576 FROM pg_class WHERE relnamespace = 'foreman'::regnamespace AND relkind = 'r'`, &mib)
		mu.Lock()
		defer mu.Unlock()
		if most = max(most, mib); n <= int64(b.N)/2 {
			half = most
		}
	}
	next := time.NewTicker(time.Second * batch / 3000)
	defer next.Stop()
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			var old [][]store.Ref
			remove := func() {
				_, err := s.Delete(b.Context(), old[0])
				require.NoError(b, err)
				old = old[1:]
			}
			for round := 0; begun.Add(batch) < int64(b.N)+batch; round++ {
				lane := fmt.Sprintf("lane %d of %d", round/100, w)
				<-next.C
				list := make([]store.Insertion, batch)
				for i := range list {
					in := job(fmt.Sprint("owner ", i%7))
					in.Head.Priority, in.Head.Lane = int32(i%2), lane
					if i%5 == 0 {
						in.Head.RunAt = s.(store.Shared).Now().Add(5 * time.Millisecond)
					}
					in.Deliveries = []store.Delivery{{ID: in.Head.ID, Seq: 1, Endpoint: fmt.Sprint("endpoint ", i%3), URL: "http://127.0.0.1", State: store.Pending, Body: []byte("body")}}
					list[i] = in
				}
				insert(b, s, list...)
				var refs []store.Ref
				for len(refs) < batch {
					var changes []store.Change
					for _, r := range claimOf(b, s, lane, batch) {
						changes = append(changes, ended(r.Head))
					}
					results, err := s.Apply(b.Context(), changes)
					require.NoError(b, err)
					for _, r := range results {
						require.NoError(b, r.Err)
						refs = append(refs, r.Head.Ref())
					}
				}
				deliver(b, s, 2*batch)
				if old = append(old, refs); len(old) > kept {
					remove()
				}
				if n := over.Add(batch); n%10_000 == 0 {
					look(n)
				}
			}
			for len(old) > 0 {
				remove()
			}
		})
	}
	all.Wait()
	for deliver(b, s, 1000) > 0 {
	}
	look(int64(b.N))
	var dead int
	sql(b, url, `SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE schemaname = 'foreman'`, &dead)
	var tables string
	sql(b, url, `SELECT string_agg(relname || ' ' || pg_size_pretty(pg_total_relation_size(relid)) || ' ' || n_dead_tup, ', ' ORDER BY pg_total_relation_size(relid) DESC)
		FROM pg_stat_user_tables WHERE schemaname = 'foreman'`, &tables)
	b.Log(tables)
	b.ReportMetric(half, "MiB-half")
	b.ReportMetric(most, "MiB")
	b.ReportMetric(float64(dead), "dead-rows")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// deliver has so many webhooks sent, if they are there.
func deliver(tb testing.TB, s store.Store, limit int) int {
	list, err := s.ClaimDeliveries(tb.Context(), store.DeliveryClaim{Worker: "w", Limit: limit, Lease: time.Hour})
	require.NoError(tb, err)
	settlements := make([]store.Settlement, len(list))
	for i, d := range list {
		settlements[i] = store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Delivered}
	}
	_, err = s.SettleDeliveries(tb.Context(), settlements)
	require.NoError(tb, err)
	return len(list)
}
