package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/bench"
	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
)

// These are the benchmarks of the root package, of whole Foremans, over PostgreSQL as it
// is installed: jobs of 1 KiB that do nothing, on a server of their own.

// depthVariable has the benchmarks run with 500,000 jobs queued too.
const depthVariable = "FOREMAN_BENCH_DEPTH"

var oneKiB = json.RawMessage(`{"text":"` + strings.Repeat("0123456789abcde ", 63) + `"}`)

func depths() []int {
	if os.Getenv(depthVariable) == "" {
		return []int{0}
	}
	return []int{0, 500_000}
}

// idle is a Foreman whose jobs do nothing but be counted.
type idle struct {
	s   store.Store
	f   *foreman.Foreman
	ran atomic.Int64
	end atomic.Int64  // of ran
	all chan struct{} // gets one then
}

func newIdle(b *testing.B, o foreman.Options) *idle {
	x := &idle{all: make(chan struct{}, 1)}
	s := open(b, pgtest.Start(b).URL, nil)
	o.Store, o.Dir, o.Logger = s, b.TempDir(), slog.New(slog.DiscardHandler)
	f, err := foreman.New(foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		if x.ran.Add(1) == x.end.Load() {
			x.all <- struct{}{}
		}
		return nil
	}), &o)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, f.Close()) })
	x.f, x.s = f, s
	return x
}

// fill puts jobs into the queue in bulk, as copies of one that was submitted.
func (x *idle) fill(b *testing.B, n int) {
	b.Helper()
	if n == 0 {
		return
	}
	j, err := x.f.Submit(b.Context(), foreman.Spec{Model: "m", Input: oneKiB})
	require.NoError(b, err)
	r, err := x.s.Get(b.Context(), j.ID)
	require.NoError(b, err)
	events, err := x.s.Events(b.Context(), j.ID, 0, 1)
	require.NoError(b, err)
	for n--; n > 0; {
		batch := make([]store.Insertion, min(n, 1000))
		for i := range batch {
			in := job("")
			in.Head.Lane, in.Head.Kind, in.Head.State, in.Head.Created = r.Lane, r.Kind, r.State, r.Created
			in.Head.Note, in.Spec = r.Note, r.Spec
			in.Events = []store.Event{{ID: in.Head.ID, Seq: 1, Data: []byte(strings.ReplaceAll(string(events[0].Data), j.ID.String(), in.Head.ID.String()))}}
			batch[i] = in
		}
		insert(b, x.s, batch...)
		n -= len(batch)
	}
}

func BenchmarkForemanSubmit(b *testing.B) {
	for _, depth := range depths() {
		x := newIdle(b, foreman.Options{})
		x.fill(b, depth)
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("queued=%d/callers=%d", depth, callers), func(b *testing.B) {
				bench.Parallel(b, callers, func() error {
					_, err := x.f.Submit(b.Context(), foreman.Spec{Model: "m", Input: oneKiB})
					return err
				})
			})
		}
	}
}

// BenchmarkForemanDrain runs b.N of the jobs that are queued, with few workers and with as
// many as River's own benchmark has, until they are durably done.
func BenchmarkForemanDrain(b *testing.B) {
	for _, workers := range []int{16, 2000} {
		for _, depth := range depths() {
			x := newIdle(b, foreman.Options{PerSlot: workers})
			x.fill(b, depth)
			b.Run(fmt.Sprintf("workers=%d/queued=%d", workers, depth), func(b *testing.B) {
				x.fill(b, b.N)
				x.end.Store(x.ran.Load() + int64(b.N))
				b.ResetTimer()
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- x.f.Run(ctx) }()
				<-x.all
				cancel()
				require.NoError(b, <-ended)
				bench.PerSecond(b, "jobs", b.N)
			})
		}
	}
}

// BenchmarkForemanStart is how long it takes from a Submit to the backend when nothing
// else is going on, but for jobs that wait behind it.
func BenchmarkForemanStart(b *testing.B) {
	for _, depth := range depths() {
		started := make(chan time.Time, 1)
		s := open(b, pgtest.Start(b).URL, nil)
		r := newReplica(b, s, foreman.Pools{{Name: "first", Backend: foreman.BackendFunc(func(context.Context, *foreman.Task) error {
			started <- time.Now()
			return nil
		})}}, foreman.Options{})
		x := &idle{s: s, f: r.Foreman}
		require.NoError(b, r.Pause(b.Context(), "m"))
		x.fill(b, depth)
		b.Run(fmt.Sprintf("queued=%d", depth), func(b *testing.B) {
			var took []time.Duration
			for range b.N {
				begun := time.Now()
				j, err := r.Submit(b.Context(), foreman.Spec{Model: "idle", Input: oneKiB})
				require.NoError(b, err)
				took = append(took, (<-started).Sub(begun))
				b.StopTimer()
				r.await(b, j.ID) // idle again
				b.StartTimer()
			}
			bench.Quantiles(b, took)
		})
	}
}
