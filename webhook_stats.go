package foreman

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// WebhookStats are numbers about webhooks, in the form of counters, gauges and
// histograms that any metrics library can export. Counters and histograms are of this
// Foreman since [New]; they only grow.
type WebhookStats struct {
	// Pending is how many deliveries wait in the store, those under way included; with
	// a store that several processes share, of all of them.
	Pending int
	// Underway is how many attempts this process is making.
	Underway int
	// Failing is how many endpoints are left alone because they kept failing.
	Failing int

	// Attempts counts the attempts that have ended, by whose fault the end was; those
	// that delivered are under "".
	Attempts map[webhook.Fault]uint64
	// Settled counts the deliveries that have come to an end here, by which. Those that
	// are stopped with another one of their job are not counted.
	Settled map[DeliveryStatus]uint64
	// Duration is how long attempts took.
	Duration Histogram
	// Latency is the time from an event to its delivery, retries and all.
	Latency Histogram
}

// Histogram counts durations. Counts[i] is how many were at most Bounds[i] and more
// than the bound before; the last of Counts, which has one more than Bounds, is how
// many were longer than all.
type Histogram struct {
	Bounds []time.Duration
	Counts []uint64
	Sum    time.Duration
}

var histogramBounds = []time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
	2500 * time.Millisecond, 5 * time.Second, 15 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 10 * time.Hour,
}

func newHistogram() Histogram {
	return Histogram{Bounds: histogramBounds, Counts: make([]uint64, len(histogramBounds)+1)}
}

func (h *Histogram) add(d time.Duration) {
	i, _ := slices.BinarySearch(h.Bounds, d)
	h.Counts[i]++
	h.Sum += d
}

func (h *Histogram) clone() Histogram {
	return Histogram{Bounds: slices.Clone(h.Bounds), Counts: slices.Clone(h.Counts), Sum: h.Sum}
}

// webhookCounts are the counters of the outbox.
type webhookCounts struct {
	mu        sync.Mutex
	attempts  map[webhook.Fault]uint64
	ends      map[DeliveryStatus]uint64
	durations Histogram
	latencies Histogram
}

func (c *webhookCounts) init() {
	c.attempts, c.ends = map[webhook.Fault]uint64{}, map[DeliveryStatus]uint64{}
	c.durations, c.latencies = newHistogram(), newHistogram()
}

func (c *webhookCounts) attempted(out *webhook.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts[out.Fault]++
	c.durations.add(out.Duration)
}

// settled counts what the store has taken.
func (c *webhookCounts) settled(batch []store.Settlement, errs []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range batch {
		if s := batch[i].State; errs[i] == nil && s != store.Pending {
			c.ends[DeliveryStatus(s)]++
		}
	}
}

func (c *webhookCounts) delivered(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latencies.add(after)
}

// WebhookStats returns the numbers as they are now. Errors: [ErrUnavailable] and the
// context's.
func (f *Foreman) WebhookStats(ctx context.Context) (*WebhookStats, error) {
	pending, err := f.o.Store.Backlog(ctx)
	if err != nil {
		return nil, fmt.Errorf("webhook stats: %w", fromStore(err))
	}
	c := &f.outbox.counts
	c.mu.Lock()
	s := &WebhookStats{
		Pending: pending, Attempts: maps.Clone(c.attempts), Settled: maps.Clone(c.ends),
		Duration: c.durations.clone(), Latency: c.latencies.clone(),
	}
	c.mu.Unlock()
	s.Underway, s.Failing = f.outbox.load()
	return s, nil
}
