package foreman_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

var onlyDone = []foreman.State{foreman.Done}

// submitMany submits n jobs, each with one webhook, to the URLs in turn, and returns when
// all have ended.
func submitMany(t *testing.T, f *foreman.Foreman, n int, urls ...string) {
	t.Helper()
	var wg sync.WaitGroup
	for from := range 16 {
		wg.Go(func() {
			for i := from; i < n; i += 16 {
				j, err := f.Submit(t.Context(), foreman.Spec{Model: "m", StateWebhookURL: urls[i%len(urls)], WebhookEvents: onlyDone})
				if err != nil {
					t.Error(err)
					return
				}
				for _, err := range f.Watch(t.Context(), j.ID, 0) { // until it has ended
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	require.False(t, t.Failed())
}

func hangs() *webhooktest.Options {
	return &webhooktest.Options{Answer: func(webhooktest.Delivery) webhooktest.Answer { return webhooktest.Hang() }}
}

func stats(t *testing.T, f *foreman.Foreman) *foreman.WebhookStats {
	t.Helper()
	s, err := f.WebhookStats(t.Context())
	require.NoError(t, err)
	return s
}

// arrived waits until n requests have come, and returns what has.
func arrived(t *testing.T, r *webhooktest.Receiver, n int) []webhooktest.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := r.Wait(ctx, n)
	require.NoError(t, err)
	return got
}

// The deliveries of a thousand jobs to an endpoint that hangs do not delay those to
// another by more than a second: these are through before one of those is released.
func TestAHangingEndpointDelaysNoOther(t *testing.T) {
	const hanging, healthy = 1000, 100
	o := foreman.Options{PerSlot: 16, Webhook: hooks(time.Hour)}
	o.Webhook.Timeout = time.Hour
	f := newForeman(t, doNothing, o)
	start(t, f)
	dead := webhooktest.NewReceiver(t, hangs()) // ends before f, which then need not wait for it
	live := webhooktest.NewReceiver(t, nil)

	submitMany(t, f, hanging, dead.URL())
	submitMany(t, f, healthy, live.URL())
	arrived(t, live, healthy)
	require.Eventually(t, func() bool { // counted when it is stored
		return stats(t, f).Settled[foreman.DeliveryDelivered] == healthy
	}, 30*time.Second, time.Millisecond)

	s := stats(t, f)
	require.Equal(t, hanging, s.Pending)
	require.Len(t, s.Attempts, 1, "none to the endpoint that hangs has ended")
	require.LessOrEqual(t, len(dead.Deliveries()), 4, "it is new, and has few places")
	late := uint64(0)
	for i, bound := range s.Latency.Bounds {
		if bound >= time.Second {
			late += s.Latency.Counts[i+1]
		}
	}
	require.Zero(t, late, "more than a second from the event to its delivery: %v", s.Latency.Counts)
}

// Two hundred endpoints that hang, all new, hold all places for a while. Not for long:
// five attempts of each, and they are left alone, whatever else there is for them.
func TestManyHangingEndpointsAreLeftAlone(t *testing.T) {
	const origins, each, failures, healthy = 200, 8, 5, 100
	o := foreman.Options{PerSlot: 16, Webhook: hooks(time.Hour)}
	o.Webhook.Timeout = 200 * time.Millisecond
	o.Webhook.Breaker = foreman.Breaker{Failures: failures, Delay: time.Hour, MaxDelay: time.Hour}
	f := newForeman(t, doNothing, o)
	start(t, f)
	var requests atomic.Int64
	urls := hangingOrigins(t, origins, &requests)
	live := webhooktest.NewReceiver(t, nil)

	submitMany(t, f, origins*each, urls...)
	submitMany(t, f, healthy, live.URL())
	arrived(t, live, healthy)
	require.Eventually(t, func() bool { return stats(t, f).Failing == origins }, 30*time.Second, 5*time.Millisecond)
	require.LessOrEqual(t, requests.Load(), int64(origins*failures), "and no more")
	require.Greater(t, requests.Load(), int64(origins*(failures-1)), "though one may end before its request has come")
	require.Eventually(t, func() bool { return stats(t, f).Pending == origins*each }, 30*time.Second, 5*time.Millisecond, "nothing is dropped")

	before := requests.Load()
	submitMany(t, f, healthy, live.URL())
	arrived(t, live, 2*healthy)
	require.Equal(t, before, requests.Load(), "they are left alone")
}

// And one that has accepted something before has places that those cannot take: its
// deliveries are through before one of theirs is released.
func TestManyHangingEndpointsDelayNoneThatWorks(t *testing.T) {
	const origins, each, healthy = 200, 5, 100
	o := foreman.Options{PerSlot: 16, Webhook: hooks(time.Hour)}
	o.Webhook.Timeout = time.Hour
	f := newForeman(t, doNothing, o)
	start(t, f)
	var requests atomic.Int64
	urls := hangingOrigins(t, origins, &requests)
	live := webhooktest.NewReceiver(t, nil)

	submitMany(t, f, 1, live.URL())
	delivered := func(n uint64) func() bool {
		return func() bool { return stats(t, f).Settled[foreman.DeliveryDelivered] == n }
	}
	require.Eventually(t, delivered(1), 30*time.Second, time.Millisecond)
	submitMany(t, f, origins*each, urls...)
	submitMany(t, f, healthy, live.URL())
	arrived(t, live, 1+healthy)
	require.Eventually(t, delivered(1+healthy), 30*time.Second, time.Millisecond)
	s := stats(t, f)
	require.Equal(t, origins*each, s.Pending)
	require.Len(t, s.Attempts, 1, "none to those that hang has ended")
	require.Eventually(t, func() bool { return requests.Load() == 64 }, 30*time.Second, time.Millisecond, "they have half of the places")
}

// hangingOrigins are URLs of as many endpoints, of which none answers.
func hangingOrigins(t *testing.T, n int, requests *atomic.Int64) (urls []string) {
	ended := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	})}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		close(ended)
		require.NoError(t, s.Close())
		serving.Wait()
	})
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		serving.Go(func() { _ = s.Serve(l) })
		urls = append(urls, "http://"+l.Addr().String())
	}
	return urls
}
