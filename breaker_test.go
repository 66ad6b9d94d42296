package foreman_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// logged is what was logged, as text.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// count is how many lines contain what.
func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

func deliveries(t *testing.T, f *foreman.Foreman, id ulid.ULID) []foreman.Delivery {
	t.Helper()
	ds, err := f.Deliveries(t.Context(), id)
	require.NoError(t, err)
	return ds
}

// After failures of different jobs an endpoint is left alone: what is for it waits, and
// says what for.
func TestBreakerLeavesAnEndpointAlone(t *testing.T) {
	for name, answer := range map[string]webhooktest.Answer{
		"500":       webhooktest.Status(http.StatusInternalServerError),
		"408":       webhooktest.Status(http.StatusRequestTimeout),
		"429":       webhooktest.TooMany(time.Second),
		"no answer": webhooktest.Reset(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := webhooktest.NewReceiver(t, &webhooktest.Options{
				Answer: func(webhooktest.Delivery) webhooktest.Answer { return answer },
			})
			log := &logged{}
			o := foreman.Options{Webhook: hooks(24 * time.Hour), Logger: slog.New(slog.NewTextHandler(log, nil))}
			o.Webhook.PerEndpoint = 1
			o.Webhook.Breaker = foreman.Breaker{Failures: 3, Delay: time.Hour, MaxDelay: time.Hour}
			f := newForeman(t, doNothing, o)
			start(t, f)
			var ids []ulid.ULID
			for range 10 {
				ids = append(ids, submit(t, f, foreman.Spec{StateWebhookURL: r.URL()}))
			}
			require.Eventually(t, func() bool { return stats(t, f).Failing == 1 }, 20*time.Second, time.Millisecond)
			for _, id := range ids {
				await(t, f, id)
			}
			require.Equal(t, 1, log.count("keeps failing"), "it is said once")
			require.Equal(t, 1, log.count("failures=3"))
			require.Equal(t, 1, log.count("endpoint="+r.URL()))

			require.Eventually(t, func() bool {
				tried := 0
				for _, id := range ids {
					ds := deliveries(t, f, id)
					require.Len(t, ds, 3)
					require.Equal(t, []string{"endpoint", "earlier", "earlier"}, []string{ds[0].WaitingFor, ds[1].WaitingFor, ds[2].WaitingFor})
					tried += len(ds[0].Attempts)
				}
				return tried == 3 // the last is recorded a moment later
			}, 20*time.Second, time.Millisecond)
			require.Len(t, r.Deliveries(), 3, "of three jobs, and nothing since")
			require.Equal(t, 30, stats(t, f).Pending)
		})
	}
}

// While an endpoint is left alone there are only probes, one at a time and at longer and
// longer intervals, and only they are counted as attempts. When it is back, all comes, in
// order.
func TestBreakerProbes(t *testing.T) {
	const jobs, delay, most = 20, 20 * time.Millisecond, 160 * time.Millisecond
	var back atomic.Bool
	w := newWitness(t, "secret", func() *webhooktest.Answer {
		if back.Load() {
			return nil
		}
		down := webhooktest.Status(http.StatusServiceUnavailable)
		return &down
	})
	log := &logged{}
	// Enough for one delivery, should every probe be of the same.
	gaps := slices.Repeat([]time.Duration{10 * time.Millisecond}, 100)
	o := foreman.Options{Webhook: hooks(gaps...), Logger: slog.New(slog.NewTextHandler(log, nil))}
	o.Webhook.Secret = "secret"
	o.Webhook.Breaker = foreman.Breaker{Failures: 3, Delay: delay, MaxDelay: most}
	f := newForeman(t, doNothing, o)
	start(t, f)
	var ids []ulid.ULID
	for range jobs {
		ids = append(ids, submit(t, f, foreman.Spec{StateWebhookURL: w.URL()}))
	}
	for _, id := range ids {
		await(t, f, id)
	}
	const probes = 6
	// Four may have been under way when three had failed, and the first probe comes soon
	// after the last of them.
	const first = 5
	arrived(t, w.Receiver, first+probes)
	back.Store(true)
	require.Eventually(t, func() bool { return stats(t, f).Pending == 0 }, 30*time.Second, 5*time.Millisecond)

	all := w.Deliveries()
	for i, least := first, 2*delay; i < first+probes; i++ {
		require.GreaterOrEqual(t, all[i].Time.Sub(all[i-1].Time), least*8/10, "before request %d", i)
		least = min(2*least, most)
	}
	events, requests, again := w.events(t)
	requireInOrder(t, events)
	require.Len(t, events, 3*jobs)
	require.Zero(t, again)
	attempts := 0
	for _, id := range ids {
		for _, d := range deliveries(t, f, id) {
			require.Equal(t, foreman.DeliveryDelivered, d.Status)
			attempts += len(d.Attempts)
		}
	}
	require.Equal(t, requests, attempts, "waiting is no attempt")
	require.Equal(t, 1, log.count("is back"))
	require.Zero(t, stats(t, f).Failing)
}

// An endpoint that answers, but does not want what it gets, is not left alone; nor is one
// that fails only now and then.
func TestBreakerStaysClosed(t *testing.T) {
	const jobs = 12
	for name, answers := range map[string][]webhooktest.Answer{
		"400":                  {webhooktest.Status(http.StatusBadRequest)},
		"401":                  {webhooktest.Status(http.StatusUnauthorized)},
		"404":                  {webhooktest.Status(http.StatusNotFound)},
		"a redirect":           {webhooktest.Redirect(http.StatusFound, "/moved")},
		"404 between 500s":     {webhooktest.Status(500), webhooktest.Status(500), webhooktest.Status(404)},
		"successes between":    {webhooktest.Reset(), webhooktest.Status(500), webhooktest.OK()},
		"gone, of another job": {webhooktest.Gone()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := webhooktest.NewReceiver(t, nil)
			for range jobs / len(answers) {
				r.Script(answers...)
			}
			log := &logged{}
			o := foreman.Options{Webhook: hooks(24 * time.Hour), Logger: slog.New(slog.NewTextHandler(log, nil))}
			o.Webhook.PerEndpoint = 1
			o.Webhook.Breaker = foreman.Breaker{Failures: 3, Delay: time.Hour, MaxDelay: time.Hour}
			f := newForeman(t, doNothing, o)
			start(t, f)
			for range jobs {
				submit(t, f, foreman.Spec{StateWebhookURL: r.URL(), WebhookEvents: onlyDone})
			}
			arrived(t, r, jobs)
			require.Eventually(t, func() bool {
				s := stats(t, f)
				return total(s.Duration) == jobs && s.Underway == 0
			}, 20*time.Second, time.Millisecond)
			require.Len(t, r.Deliveries(), jobs, "one attempt of each")
			require.Zero(t, stats(t, f).Failing)
			require.Zero(t, log.count("keeps failing"))
		})
	}
}
