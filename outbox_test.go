package foreman_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

func TestRetryAfterIsHeard(t *testing.T) {
	r := webhooktest.NewReceiver(t, nil)
	r.Script(webhooktest.Unavailable(time.Hour), webhooktest.TooMany(2*time.Hour))
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(time.Millisecond)})
	start(t, f)
	for _, wait := range []time.Duration{time.Hour, 2 * time.Hour} {
		id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL()})
		ds := deliveriesOf(t, f, id, func(ds []foreman.Delivery) bool { return len(ds[0].Attempts) == 1 })
		require.WithinDuration(t, time.Now().Add(wait), ds[0].NextAttemptAt, time.Minute)
	}
}

// However many endpoints there are, so many attempts are under way in all.
func TestConcurrencyIsBounded(t *testing.T) {
	const most, endpoints, jobs = 4, 12, 10
	var now, peak atomic.Int64
	answer := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
		defer cancel()
		<-ctx.Done() // while others come
	})
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Concurrency = most
	f := newForeman(t, doNothing, o)
	for range endpoints {
		srv := httptest.NewServer(answer)
		defer srv.Close()
		for range jobs {
			submit(t, f, foreman.Spec{StateWebhookURL: srv.URL, WebhookEvents: []foreman.State{foreman.Queued}})
		}
	}
	start(t, f)
	require.Eventually(t, func() bool { return stats(t, f).Pending == 0 }, 20*time.Second, time.Millisecond)
	require.LessOrEqual(t, peak.Load(), int64(most))
	require.Greater(t, peak.Load(), int64(most/2), "those that are proven have more than half of them")
}

// Endpoints that have much to get and those that have little take turns.
func TestEndpointsTakeTurns(t *testing.T) {
	var mu sync.Mutex
	var order []string
	listen := func(name string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Concurrency, o.Webhook.PerEndpoint = 1, 1
	f := newForeman(t, doNothing, o)
	much, little := listen("much"), listen("little")
	for range 40 {
		submit(t, f, foreman.Spec{StateWebhookURL: much, WebhookEvents: []foreman.State{foreman.Queued}})
	}
	for range 4 {
		submit(t, f, foreman.Spec{StateWebhookURL: little, WebhookEvents: []foreman.State{foreman.Queued}})
	}
	start(t, f)
	require.Eventually(t, func() bool { return stats(t, f).Pending == 0 }, 20*time.Second, time.Millisecond)
	got := map[string]int{}
	for _, name := range order[:8] {
		got[name]++
	}
	require.Equal(t, map[string]int{"much": 4, "little": 4}, got)
}

// The event of an end is sent although it is overdue and later ones are there.
func TestCatchUpNeverDropsAnEnd(t *testing.T) {
	r := webhooktest.NewReceiver(t, nil)
	r.Script(webhooktest.OK(), webhooktest.OK(), webhooktest.Status(500))
	o := foreman.Options{Webhook: hooks(300*time.Millisecond, time.Minute)}
	o.Webhook.CatchUp = foreman.CatchUpLatest
	f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		return foreman.Permanent(errors.New("no"))
	}), o)
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL()})
	deliveriesOf(t, f, id, func(ds []foreman.Delivery) bool { return len(ds) == 3 && len(ds[2].Attempts) == 1 })
	_, err := f.Retry(t.Context(), id)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return status(t, f, id).Sequence == 6 }, 10*time.Second, time.Millisecond)
	ds := deliveriesOf(t, f, id, settled)
	require.Equal(t, foreman.Failed, ds[2].State)
	require.Len(t, ds[2].Attempts, 2)
	for _, d := range ds {
		require.Equal(t, foreman.DeliveryDelivered, d.Status)
	}
}

// An attempt that is under way when Run is to end has time to end, and is recorded.
func TestRunWaitsForAttemptsUnderWay(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-answer
	}))
	defer srv.Close()
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks()})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	id := submit(t, f, foreman.Spec{StateWebhookURL: srv.URL, WebhookEvents: []foreman.State{foreman.Queued}})
	<-arrived
	cancel()
	close(answer)
	require.NoError(t, <-ran)
	ds, err := f.Deliveries(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, foreman.DeliveryDelivered, ds[0].Status)
}

// mute is a store that takes no outcomes of deliveries, and does not say so.
type mute struct{ store.Store }

func (mute) SettleDeliveries(ctx context.Context, _ []store.Settlement) ([]error, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestRunEndsThoughOutcomesCannotBeStored(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t, nil)
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(), Store: mute{openStore(t)}})
	stop := start(t, f)
	submit(t, f, foreman.Spec{StateWebhookURL: r.URL(), WebhookEvents: []foreman.State{foreman.Queued}})
	_, err := r.Wait(t.Context(), 1)
	require.NoError(t, err)
	stop()
}

// Nor is it held up by those who wait for their outcomes to be taken.
func TestRunEndsThoughSendersWait(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t, nil)
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(), Store: mute{openStore(t)}})
	later := time.Now().Add(time.Hour)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 50 {
				_, err := f.Submit(t.Context(), foreman.Spec{Model: "m", RunAt: later, StateWebhookURL: r.URL(), WebhookEvents: []foreman.State{foreman.Queued}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop := start(t, f)
	_, err := r.Wait(t.Context(), 1100) // more than may wait to be recorded
	require.NoError(t, err)
	stop()
}

// relay is an egress proxy for http receivers.
func relay(t *testing.T) *url.URL {
	t.Helper()
	client := &http.Transport{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := client.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
	}))
	t.Cleanup(func() {
		srv.Close()
		client.CloseIdleConnections()
	})
	u, err := url.Parse(srv.URL)
	require.NoError(t, err)
	return u
}

// A receiver that answers as a proxy would holds up nobody but itself.
func TestNoReceiverSpeaksForTheProxy(t *testing.T) {
	pretends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer pretends.Close()
	live := webhooktest.NewReceiver(t, nil)
	o := foreman.Options{Webhook: hooks(time.Hour)}
	o.Webhook.Proxy = relay(t)
	o.Webhook.Breaker = foreman.Breaker{Failures: 2, Delay: time.Hour, MaxDelay: time.Hour}
	f := newForeman(t, doNothing, o)
	start(t, f)
	for range 10 {
		id := submit(t, f, foreman.Spec{StateWebhookURL: pretends.URL, WebhookEvents: []foreman.State{foreman.Queued}})
		deliveriesOf(t, f, id, func(ds []foreman.Delivery) bool { return len(ds[0].Attempts) == 1 })
	}
	submit(t, f, foreman.Spec{StateWebhookURL: live.URL(), WebhookEvents: []foreman.State{foreman.Queued}})
	arrived(t, live, 1)
}

// When the proxy is back one attempt shows it, whatever still hangs from before.
func TestOldAttemptsDoNotHoldUpTheProxy(t *testing.T) {
	t.Parallel()
	var hanging atomic.Int64
	ok := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody sees when the sender goes away
		if r.URL.Path == "/hang" {
			hanging.Add(1)
			<-r.Context().Done()
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	serve := func(l net.Listener) {
		srv := &http.Server{Handler: ok}
		ended := make(chan struct{})
		go func() { _ = srv.Serve(l); close(ended) }()
		t.Cleanup(func() { _ = srv.Close(); <-ended })
	}
	serve(listener)

	o := foreman.Options{Webhook: hooks(time.Hour)}
	o.Webhook.Proxy = &url.URL{Scheme: "http", Host: addr}
	o.Webhook.Timeout = 20 * time.Second
	o.Webhook.Breaker = foreman.Breaker{Failures: 1, Delay: 50 * time.Millisecond, MaxDelay: 50 * time.Millisecond}
	f := newForeman(t, doNothing, o)
	start(t, f)
	for range 4 {
		submit(t, f, foreman.Spec{StateWebhookURL: "http://127.0.0.1:9000/hang", WebhookEvents: []foreman.State{foreman.Queued}})
	}
	require.Eventually(t, func() bool { return hanging.Load() == 4 }, 10*time.Second, time.Millisecond)
	require.NoError(t, listener.Close()) // the proxy takes no connections any more
	id := submit(t, f, foreman.Spec{StateWebhookURL: "http://127.0.0.1:9001/", WebhookEvents: []foreman.State{foreman.Queued}})
	ds := deliveriesOf(t, f, id, func(ds []foreman.Delivery) bool { return len(ds[0].Attempts) == 1 })
	require.Equal(t, webhook.FaultProxy, ds[0].Attempts[0].Fault)
	require.Equal(t, 4, stats(t, f).Underway, "these hang on")
	again, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	serve(again)
	other := submit(t, f, foreman.Spec{StateWebhookURL: "http://127.0.0.1:9001/", WebhookEvents: []foreman.State{foreman.Queued}})
	deliveriesOf(t, f, other, settled)
	require.Equal(t, 4, stats(t, f).Underway)
}

// While the proxy is out of order everything waits, and no endpoint is to blame.
func TestAProxyThatKeepsFailingIsLeftAlone(t *testing.T) {
	down, err := url.Parse("http://127.0.0.1:1")
	require.NoError(t, err)
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Proxy = down
	o.Webhook.Breaker = foreman.Breaker{Failures: 3, Delay: time.Hour, MaxDelay: time.Hour}
	f := newForeman(t, doNothing, o)
	start(t, f)
	var last string
	for range 20 {
		id := submit(t, f, foreman.Spec{StateWebhookURL: "http://receiver.example/", WebhookEvents: []foreman.State{foreman.Queued}})
		last = id.String()
	}
	a := newAPI(t, f)
	require.Eventually(t, func() bool {
		var all wireDeliveries
		a.get("/jobs/" + last + "/deliveries").is(200).into(&all)
		return all.Deliveries[0].WaitingFor == "proxy"
	}, 10*time.Second, time.Millisecond)
	s := stats(t, f)
	require.Zero(t, s.Failing)
	require.Equal(t, 20, s.Pending)
	require.Empty(t, s.Settled)
	for fault, n := range s.Attempts {
		require.Equal(t, webhook.FaultProxy, fault)
		require.LessOrEqual(t, n, uint64(20))
	}
}
