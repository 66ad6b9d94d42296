package postgres_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/bench"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// queuedVariable says how many records wait in the lane while BenchmarkDeep measures; a
// fair figure needs 500000.
const queuedVariable = "FOREMAN_BENCH_QUEUED"

// BenchmarkDeep measures with a queue that is deep from beginning to end: submits with 16
// callers, jobs claimed and ended in batches, by one caller and by four, and from the
// submit of a job of high priority to its claim.
func BenchmarkDeep(b *testing.B) {
	depth := 2000
	if n, err := strconv.Atoi(os.Getenv(queuedVariable)); err == nil {
		depth = n
	}
	h := harness(postgres.Options{})
	s, err := h.Open(h.New(b))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	fill := func(b *testing.B, n int) {
		for n > 0 {
			batch := make([]store.Insertion, min(n, 1000))
			for i := range batch {
				batch[i] = job(fmt.Sprint("owner ", i%10))
			}
			insert(b, s, batch...)
			n -= len(batch)
		}
	}
	fill(b, depth)
	b.Run("Submit/callers=16", func(b *testing.B) {
		bench.Parallel(b, 16, func() error {
			results, err := s.Insert(b.Context(), []store.Insertion{job("owner")})
			if err != nil {
				return err
			}
			return results[0].Err
		})
	})
	for _, callers := range []int{1, 4} {
		b.Run(fmt.Sprintf("Drain/callers=%d/batch=64", callers), func(b *testing.B) {
			fill(b, b.N)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					for left.Load() > 0 {
						records := claim(b, s, 64)
						var changes []store.Change
						for _, r := range records {
							changes = append(changes, ended(r.Head))
						}
						results, err := s.Apply(b.Context(), changes)
						if err != nil || len(results) == 0 {
							b.Error(err)
							return
						}
						left.Add(-int64(len(results)))
					}
				})
			}
			all.Wait()
			bench.PerSecond(b, "jobs", b.N)
		})
	}
	b.Run("SubmitToStart", func(b *testing.B) {
		var took []time.Duration
		for range b.N {
			in := job("owner")
			in.Head.Priority = 9
			begun := time.Now()
			insert(b, s, in)
			records := claim(b, s, 1)
			took = append(took, time.Since(begun))
			require.Equal(b, in.Head.ID, records[0].ID)
		}
		bench.Quantiles(b, took)
	})
}

// job is a record as it is submitted, of 1 KiB, with an event.
func job(owner string) store.Insertion {
	id := ulid.Make()
	return store.Insertion{
		Head:   store.Head{ID: id, State: store.Queued, Owner: owner, Lane: "lane", Created: time.Now(), Seq: 1},
		Spec:   make([]byte, 1024),
		Events: []store.Event{{ID: id, Seq: 1, Data: []byte(`{"type":"queued"}`)}},
	}
}

func insert(tb testing.TB, s store.Store, in ...store.Insertion) []store.Result {
	tb.Helper()
	results, err := s.Insert(tb.Context(), in)
	require.NoError(tb, err)
	for _, r := range results {
		require.NoError(tb, r.Err)
	}
	return results
}

func started(r store.Record) store.Change {
	c := store.Change{Head: r.Head, Events: []store.Event{{ID: r.ID, Seq: r.Seq + 1, Data: []byte(`{"type":"started"}`)}}}
	c.Head.State, c.Head.Attempt, c.Head.Seq = store.Working, r.Attempt+1, r.Seq+1
	return c
}

func ended(h store.Head) store.Change {
	c := store.Change{
		Head: h, Outcome: []byte(`{"ok":true}`),
		Events: []store.Event{{ID: h.ID, Seq: h.Seq + 1, Data: []byte(`{"type":"succeeded"}`)}},
	}
	c.Head.State, c.Head.Seq, c.Head.Deadline = "succeeded", h.Seq+1, time.Time{}
	return c
}

func claim(tb testing.TB, s store.Store, limit int) []store.Record {
	tb.Helper()
	return claimOf(tb, s, "lane", limit)
}

func claimOf(tb testing.TB, s store.Store, lane string, limit int) []store.Record {
	tb.Helper()
	records, err := s.Claim(tb.Context(), store.Claim{Worker: "w", Lane: lane, Limit: limit, Lease: time.Hour}, started)
	require.NoError(tb, err)
	return records
}
