// Package bench has what benchmarks of this module share.
package bench

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Parallel makes b.N calls, by so many callers at once, and reports how many a second
// there were and how long each took. The timer goes on.
func Parallel(b *testing.B, callers int, call func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	took := make([]time.Duration, 0, b.N)
	var all sync.WaitGroup
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			var mine []time.Duration
			for left.Add(-1) >= 0 {
				begun := time.Now()
				if err := call(); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	all.Wait()
	PerSecond(b, "jobs", b.N)
	b.StopTimer()
	Quantiles(b, took)
	b.StartTimer()
}

// PerSecond reports how many of something there were in a second of the timer.
func PerSecond(b *testing.B, what string, n int) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), what+"/s")
}

// Quantiles reports the median and the 99th percentile of how long calls took. It sorts
// them.
func Quantiles(b *testing.B, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
