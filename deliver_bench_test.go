package foreman_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// senders is how many deliveries are under way at once in the benchmarks below, by
// Foreman and by the loop that it is measured against.
const senders = 32

// BenchmarkDeliver sends pending webhooks to a receiver on loopback: as Foreman does,
// signed, recorded one by one and each durably settled, and beside it the same bytes
// and headers with a bare http.Client in a loop.
func BenchmarkDeliver(b *testing.B) {
	b.Run("foreman", func(b *testing.B) {
		r := newSink(b)
		f := pendingWebhooks(b, r.URL, b.N)
		r.expect(b.N)
		b.ResetTimer()
		stop := start(b, f)
		<-r.all
		stop() // what was sent is settled then
		b.StopTimer()
		s, err := f.WebhookStats(context.Background())
		require.NoError(b, err)
		require.Zero(b, s.Pending)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	})
	b.Run("bare", func(b *testing.B) {
		r := newSink(b)
		r.expect(b.N)
		c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
		b.Cleanup(c.CloseIdleConnections)
		body := []byte(`{"job_id":"01M85PGTP08PXFYBRQN7C8XPP7","state":"queued","previous_state":"",` +
			`"timestamp":"2026-11-24T02:35:22.192988Z","model":"m","attempt":0,"sequence":1}`)
		header := http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"foreman-webhook/1"},
			"Webhook-Id": {"01M85PGTP08PXFYBRQN7C8XPP7-1"}, "Webhook-Timestamp": {"1795487722"},
			"Webhook-Signature":   {"v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="},
			"X-Foreman-Signature": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
		}
		var left atomic.Int64
		left.Store(int64(b.N))
		var all sync.WaitGroup
		b.ResetTimer()
		for range senders {
			all.Go(func() {
				for left.Add(-1) >= 0 {
					req, err := http.NewRequest(http.MethodPost, r.URL, bytes.NewReader(body))
					require.NoError(b, err)
					req.Header = header
					resp, err := c.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		}
		all.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	})
}

// BenchmarkBacklog is the memory of a process with a hundred thousand deliveries that
// wait, and how fast they go when the receiver is back.
func BenchmarkBacklog(b *testing.B) {
	for _, pending := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				r := newSink(b)
				f := pendingWebhooks(b, r.URL, pending)
				r.expect(pending)
				b.StartTimer()
				stop := start(b, f)
				<-r.all
				b.StopTimer()
				b.ReportMetric(residentMiB(b, "RssAnon"), "anon-MiB")
				b.ReportMetric(residentMiB(b, "VmRSS"), "rss-MiB")
				stop()
				b.StartTimer()
			}
			b.ReportMetric(float64(pending*b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// sink is a receiver that counts.
type sink struct {
	*httptest.Server
	got, want atomic.Int64
	all       chan struct{} // closed when all have come
}

func newSink(b *testing.B) *sink {
	s := &sink{all: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if s.got.Add(1) == s.want.Load() {
			close(s.all)
		}
	}))
	b.Cleanup(s.Close)
	return s
}

func (s *sink) expect(n int) { s.want.Store(int64(n)) }

// pendingWebhooks is a Foreman that does not run yet, with so many jobs, each with one
// event for a webhook.
func pendingWebhooks(b *testing.B, url string, n int) *foreman.Foreman {
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
	o.Webhook.Concurrency, o.Webhook.PerEndpoint = senders, senders
	f := newForeman(b, doNothing, o)
	later := time.Now().Add(24 * time.Hour) // the jobs themselves are in nobody's way
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range 256 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				_, err := f.Submit(context.Background(), foreman.Spec{
					Model: "m", RunAt: later, StateWebhookURL: url, WebhookEvents: []foreman.State{foreman.Queued},
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return f
}
