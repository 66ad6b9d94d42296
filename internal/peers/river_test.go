package peers

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/bench"
	"github.com/foreman-go/foreman/internal/pgtest"
)

// depthVariable has the benchmarks run with 500,000 jobs queued too, as those of
// store/postgres do.
const depthVariable = "FOREMAN_BENCH_DEPTH"

var oneKiB = strings.Repeat("0123456789abcde ", 63)

func depths() []int {
	if os.Getenv(depthVariable) == "" {
		return []int{0}
	}
	return []int{0, 500_000}
}

// args are of a job of 1 KiB that does nothing.
type args struct {
	Text string `json:"text"`
}

func (args) Kind() string { return "nothing" }

type worker struct {
	river.WorkerDefaults[args]
	work func()
}

func (w *worker) Work(context.Context, *river.Job[args]) error {
	w.work()
	return nil
}

// queue is a River on a server of its own, with what its benchmark sets: it fetches as
// often as every 2 ms, and polls every 20 ms.
type queue struct {
	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool
}

func newQueue(b *testing.B, workers int, work func()) *queue {
	ctx := b.Context()
	c, err := pgxpool.ParseConfig(pgtest.Start(b).URL)
	require.NoError(b, err)
	c.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(ctx, c)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	driver := riverpgxv5.New(pool)
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	require.NoError(b, err)
	all := river.NewWorkers()
	river.AddWorker(all, &worker{work: work})
	client, err := river.NewClient(driver, &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.DiscardHandler),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		Workers:           all,
	})
	require.NoError(b, err)
	return &queue{client, pool}
}

func (x *queue) start(b *testing.B) (stop func()) {
	ctx := context.WithoutCancel(b.Context())
	require.NoError(b, x.client.Start(ctx))
	return func() { require.NoError(b, x.client.Stop(ctx)) }
}

func (x *queue) fill(b *testing.B, n int, o *river.InsertOpts) {
	b.Helper()
	for n > 0 {
		batch := make([]river.InsertManyParams, min(n, 1000))
		for i := range batch {
			batch[i] = river.InsertManyParams{Args: args{oneKiB}, InsertOpts: o}
		}
		_, err := x.client.InsertManyFast(b.Context(), batch)
		require.NoError(b, err)
		n -= len(batch)
	}
}

// done is how many jobs have durably ended.
func (x *queue) done(b *testing.B) (n int) {
	require.NoError(b, x.pool.QueryRow(b.Context(), "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&n))
	return n
}

func BenchmarkRiverSubmit(b *testing.B) {
	for _, depth := range depths() {
		x := newQueue(b, 1, nil)
		x.fill(b, depth, nil)
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("queued=%d/callers=%d", depth, callers), func(b *testing.B) {
				bench.Parallel(b, callers, func() error {
					_, err := x.client.Insert(b.Context(), args{oneKiB}, nil)
					return err
				})
			})
		}
	}
}

// BenchmarkRiverDrain runs b.N of the jobs that are queued until they are done.
func BenchmarkRiverDrain(b *testing.B) {
	for _, workers := range []int{16, 2000} {
		for _, depth := range depths() {
			b.Run(fmt.Sprintf("workers=%d/queued=%d", workers, depth), func(b *testing.B) {
				var ran atomic.Int64
				all := make(chan struct{}, 1)
				x := newQueue(b, workers, func() {
					if ran.Add(1) == int64(b.N) {
						all <- struct{}{}
					}
				})
				x.fill(b, depth+b.N, nil)
				b.ResetTimer()
				stop := x.start(b)
				<-all
				stop() // which waits until what has run is written
				b.StopTimer()
				bench.PerSecond(b, "jobs", x.done(b))
			})
		}
	}
}

// BenchmarkRiverStart is how long it takes from an insert to the worker when nothing else
// is going on, but for jobs that wait behind it.
func BenchmarkRiverStart(b *testing.B) {
	for _, depth := range depths() {
		started := make(chan time.Time, 1)
		x := newQueue(b, 16, func() { started <- time.Now() })
		x.fill(b, depth, &river.InsertOpts{Queue: "paused"}) // which nobody works
		stop := x.start(b)
		b.Run(fmt.Sprintf("queued=%d", depth), func(b *testing.B) {
			var took []time.Duration
			for range b.N {
				before := x.done(b)
				begun := time.Now()
				_, err := x.client.Insert(b.Context(), args{oneKiB}, nil)
				require.NoError(b, err)
				took = append(took, (<-started).Sub(begun))
				b.StopTimer()
				require.Eventually(b, func() bool { return x.done(b) > before }, 30*time.Second, time.Millisecond)
				b.StartTimer()
			}
			bench.Quantiles(b, took)
		})
		stop()
	}
}
