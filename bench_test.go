package foreman_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/bench"
)

// Each benchmark has its baseline beside it: what the disk and bbolt allow on this
// machine, in this run. Read ratios, not times.

// oneKiB is the input of every job.
var oneKiB = json.RawMessage(`{"text":"` + strings.Repeat("0123456789abcde ", 63) + `"}`)

var callers = []int{1, 16, 256}

func BenchmarkSubmit(b *testing.B) {
	for _, n := range callers {
		b.Run(fmt.Sprintf("foreman/callers=%d", n), func(b *testing.B) {
			f := newForeman(b, doNothing, foreman.Options{})
			bench.Parallel(b, n, func() error {
				_, err := f.Submit(context.Background(), foreman.Spec{Model: "m", Input: oneKiB})
				return err
			})
		})
		b.Run(fmt.Sprintf("bare/callers=%d", n), func(b *testing.B) {
			bench.Parallel(b, n, bareGroupCommit(b))
		})
	}
	b.Run("update/callers=1", func(b *testing.B) {
		update := bareUpdate(b)
		bench.Parallel(b, 1, update)
	})
}

// BenchmarkDrain runs 20,000 jobs that do nothing, with 16 workers, until every one is
// durably done.
func BenchmarkDrain(b *testing.B) {
	const jobs = 20_000
	b.Run("foreman", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			q := filled(b, jobs, jobs)
			b.StartTimer()
			q.drain(b)
		}
		bench.PerSecond(b, "jobs", jobs*b.N)
	})
	b.Run("update", func(b *testing.B) {
		bench.Parallel(b, 1, bareUpdate(b))
	})
}

// BenchmarkDepth claims and ends the first 10,000 jobs of a queue of some depth.
func BenchmarkDepth(b *testing.B) {
	const jobs = 10_000
	depths := []int{10_000, 100_000}
	if os.Getenv("FOREMAN_BENCH_DEPTH") != "" {
		depths = append(depths, 1_000_000)
	}
	for _, depth := range depths {
		b.Run(fmt.Sprintf("queued=%d", depth), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				q := filled(b, depth, jobs)
				b.ReportMetric(fileSize(b, q.dir)/float64(depth), "B/job")
				b.StartTimer()
				q.drain(b)
				b.StopTimer()
				b.ReportMetric(residentMiB(b, "RssAnon"), "anon-MiB")
				b.ReportMetric(residentMiB(b, "VmRSS"), "rss-MiB")
				b.StartTimer()
			}
			bench.PerSecond(b, "jobs", jobs*b.N)
		})
	}
}

// BenchmarkStart is how long it takes from a Submit to the backend, when nothing else
// is going on.
func BenchmarkStart(b *testing.B) {
	b.Run("foreman", func(b *testing.B) {
		started := make(chan time.Time, 1)
		f := newForeman(b, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
			started <- time.Now()
			return nil
		}), foreman.Options{})
		start(b, f)
		var took []time.Duration
		b.ResetTimer()
		for range b.N {
			begun := time.Now()
			j, err := f.Submit(context.Background(), foreman.Spec{Model: "m", Input: oneKiB})
			require.NoError(b, err)
			took = append(took, (<-started).Sub(begun))
			b.StopTimer()
			await(b, f, j.ID) // idle again
			b.StartTimer()
		}
		bench.Quantiles(b, took)
	})
	b.Run("update", func(b *testing.B) {
		update := bareUpdate(b)
		var took []time.Duration
		b.ResetTimer()
		for range b.N {
			begun := time.Now()
			require.NoError(b, update())
			took = append(took, time.Since(begun))
		}
		bench.Quantiles(b, took)
	})
}

// BenchmarkSteady has 16 callers submit while 16 workers work.
func BenchmarkSteady(b *testing.B) {
	var done atomic.Int64
	all := make(chan struct{})
	want := int64(0)
	f := newForeman(b, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		if done.Add(1) == atomic.LoadInt64(&want) {
			close(all)
		}
		return nil
	}), foreman.Options{PerSlot: 16})
	atomic.StoreInt64(&want, int64(b.N))
	start(b, f)
	bench.Parallel(b, 16, func() error {
		_, err := f.Submit(context.Background(), foreman.Spec{Model: "m", Input: oneKiB})
		return err
	})
	<-all
	bench.PerSecond(b, "jobs", b.N)
}

// queue is a Foreman with jobs in it that do nothing but be counted.
type queue struct {
	f   *foreman.Foreman
	dir string
	ran atomic.Int64
	end int64         // of ran
	all chan struct{} // closed then
}

func filled(b *testing.B, jobs, end int) *queue {
	q := &queue{dir: b.TempDir(), end: int64(end), all: make(chan struct{})}
	q.f = newForeman(b, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		if q.ran.Add(1) == q.end {
			close(q.all)
		}
		return nil
	}), foreman.Options{Dir: q.dir, PerSlot: 16})
	var left atomic.Int64
	left.Store(int64(jobs))
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := q.f.Submit(context.Background(), foreman.Spec{Model: "m", Input: oneKiB}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return q
}

// drain runs until the last job that counts has ended, and durably so: Run returns when
// everything is settled.
func (q *queue) drain(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.f.Run(ctx) }()
	<-q.all
	cancel()
	require.NoError(b, <-ended)
}

func fileSize(b *testing.B, dir string) float64 {
	fi, err := os.Stat(filepath.Join(dir, "foreman.db"))
	require.NoError(b, err)
	return float64(fi.Size())
}

// residentMiB reads a line of /proc/self/status, and is 0 where there is none.
func residentMiB(b *testing.B, field string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), field+":")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	require.NoError(b, err)
	return kib / 1024
}

func bareDB(b *testing.B) *bbolt.DB {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30,
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	require.NoError(b, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("values"))
		require.NoError(b, err)
		_, err = tx.CreateBucket([]byte("keys"))
		return err
	}))
	return db
}

// bareUpdate is one durable change of bbolt, alone: two fdatasyncs.
func bareUpdate(b *testing.B) func() error {
	db := bareDB(b)
	return func() error {
		id := ulid.Make()
		return db.Update(func(tx *bbolt.Tx) error { return barePut(tx, id) })
	}
}

// barePut is the least that a queue must write of a job: a value and an index key.
func barePut(tx *bbolt.Tx, id ulid.ULID) error {
	v, k := tx.Bucket([]byte("values")), tx.Bucket([]byte("keys"))
	v.FillPercent, k.FillPercent = 0.9, 0.9
	if err := v.Put(id[:], oneKiB); err != nil {
		return err
	}
	return k.Put(id[:], []byte{1})
}

// bareGroupCommit is one writer goroutine over bbolt that commits everything waiting.
func bareGroupCommit(b *testing.B) func() error {
	db := bareDB(b)
	type request struct {
		id   ulid.ULID
		done chan error
	}
	queue := make(chan request, 1024)
	var writer sync.WaitGroup
	writer.Go(func() {
		for r := range queue {
			batch := []request{r}
		gather:
			for {
				select {
				case r, ok := <-queue:
					if !ok {
						break gather
					}
					batch = append(batch, r)
				default:
					break gather
				}
			}
			err := db.Update(func(tx *bbolt.Tx) error {
				for _, r := range batch {
					if err := barePut(tx, r.id); err != nil {
						return err
					}
				}
				return nil
			})
			for _, r := range batch {
				r.done <- err
			}
		}
	})
	b.Cleanup(func() {
		close(queue)
		writer.Wait()
	})
	return func() error {
		r := request{ulid.Make(), make(chan error, 1)}
		queue <- r
		return <-r.done
	}
}
