package foreman_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// deliveriesOf waits until the deliveries of a job are as wanted.
func deliveriesOf(t *testing.T, f *foreman.Foreman, id ulid.ULID, wanted func([]foreman.Delivery) bool) []foreman.Delivery {
	t.Helper()
	var ds []foreman.Delivery
	require.Eventually(t, func() bool {
		var err error
		ds, err = f.Deliveries(t.Context(), id)
		require.NoError(t, err)
		return wanted(ds)
	}, 20*time.Second, 2*time.Millisecond, "%+v", &ds)
	return ds
}

func settled(ds []foreman.Delivery) bool {
	for i := range ds {
		if ds[i].Status == foreman.DeliveryPending {
			return false
		}
	}
	return len(ds) > 0
}

func statuses(ds []foreman.Delivery) []foreman.DeliveryStatus {
	var out []foreman.DeliveryStatus
	for i := range ds {
		out = append(out, ds[i].Status)
	}
	return out
}

func TestDeliveries(t *testing.T) {
	r := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{"secret"}})
	r.Script(webhooktest.Status(500), webhooktest.Reset())
	o := foreman.Options{Webhook: hooks(time.Millisecond, time.Millisecond, time.Millisecond)}
	o.Webhook.Secret = "secret"
	f := newForeman(t, doNothing, o)
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL() + "/hook"})
	await(t, f, id)
	ds := deliveriesOf(t, f, id, settled)

	require.Len(t, ds, 3)
	for i, state := range []foreman.State{foreman.Queued, foreman.Working, foreman.Done} {
		d := ds[i]
		require.Equal(t, id.String()+"-"+string(rune('1'+i)), d.ID)
		require.EqualValues(t, i+1, d.Sequence)
		require.Equal(t, state, d.State)
		require.Equal(t, r.URL()+"/hook", d.URL)
		require.Equal(t, foreman.DeliveryDelivered, d.Status)
		require.Zero(t, d.NextAttemptAt)
		require.Empty(t, d.WaitingFor)
		require.False(t, d.CreatedAt.IsZero())
	}
	require.Len(t, ds[0].Attempts, 3)
	for i, want := range []foreman.DeliveryAttempt{
		{Phase: webhook.PhaseBody, HTTPStatus: 500, Fault: webhook.FaultReceiver},
		{Phase: webhook.PhaseHeaders, Fault: webhook.FaultReceiver},
		{Phase: webhook.PhaseBody, HTTPStatus: 200},
	} {
		a := ds[0].Attempts[i]
		require.Equal(t, want.Phase, a.Phase, i)
		require.Equal(t, want.HTTPStatus, a.HTTPStatus)
		require.Equal(t, want.Fault, a.Fault)
		require.Equal(t, want.Fault == "", a.Error == "")
		require.Equal(t, strings.TrimPrefix(r.URL(), "http://"), a.Address.String())
		require.Positive(t, a.Duration)
		require.False(t, a.At.Before(ds[0].CreatedAt))
	}

	var s *foreman.WebhookStats
	require.Eventually(t, func() bool { // what is settled is durable before it is counted
		var err error
		s, err = f.WebhookStats(t.Context())
		return err == nil && s.Settled[foreman.DeliveryDelivered] == 3
	}, 30*time.Second, time.Millisecond)
	require.Zero(t, s.Pending)
	require.Equal(t, map[webhook.Fault]uint64{"": 3, webhook.FaultReceiver: 2}, s.Attempts)
	require.Equal(t, map[foreman.DeliveryStatus]uint64{foreman.DeliveryDelivered: 3}, s.Settled)
	require.EqualValues(t, 5, total(s.Duration))
	require.EqualValues(t, 3, total(s.Latency))
	require.Positive(t, s.Latency.Sum)

	_, err := f.Deliveries(t.Context(), ulid.Make())
	require.ErrorIs(t, err, foreman.ErrNotFound)
}

func total(h foreman.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// wireDelivery is what the tests read of a delivery.
type wireDelivery struct {
	ID, URL       string
	Sequence      int
	State         foreman.State
	Status        foreman.DeliveryStatus
	CreatedAt     time.Time `json:"created_at"`
	NextAttemptAt time.Time `json:"next_attempt_at"`
	WaitingFor    string    `json:"waiting_for"`
	Attempts      []struct {
		At                                               time.Time
		Duration, Phase, Address, Fault, Error, Response string
		HTTPStatus                                       int `json:"http_status"`
	}
	Links struct{ Redeliver string }
}

type wireDeliveries struct {
	Deliveries []wireDelivery
	Next       string
}

func TestDeliveriesOverHTTP(t *testing.T) {
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "short and stout", http.StatusTeapot)
	}))
	defer r.Close()
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(time.Hour)})
	start(t, f)
	alice := serveAt(t, f, asCaller(f.Handler(), foreman.Caller{Owner: "alice"}))
	bob := serveAt(t, f, asCaller(f.Handler(), foreman.Caller{Owner: "bob"}))
	admin := serveAt(t, f, asCaller(f.Handler(), foreman.Caller{Owner: "ops", Admin: true}))
	j := alice.post("/jobs", `{"model":"m","input":1,"state_webhook_url":"`+r.URL+`"}`).is(202).job()
	require.Equal(t, "/jobs/"+j.JobID+"/deliveries", j.Links["deliveries"])
	id := ulid.MustParse(j.JobID)
	await(t, f, id)
	deliveriesOf(t, f, id, func(ds []foreman.Delivery) bool { return len(ds[0].Attempts) == 1 })

	var all wireDeliveries
	alice.get(j.Links["deliveries"]).is(200).into(&all)
	require.Len(t, all.Deliveries, 3)
	first := all.Deliveries[0]
	require.Equal(t, j.JobID+"-1", first.ID)
	require.Equal(t, 1, first.Sequence)
	require.Equal(t, foreman.Queued, first.State)
	require.Equal(t, foreman.DeliveryPending, first.Status)
	require.Equal(t, "retry", first.WaitingFor)
	require.Greater(t, first.NextAttemptAt, time.Now().Add(40*time.Minute))
	require.Equal(t, "earlier", all.Deliveries[1].WaitingFor)
	require.Equal(t, "earlier", all.Deliveries[2].WaitingFor)
	require.Equal(t, "body", first.Attempts[0].Phase)
	require.Equal(t, "receiver", first.Attempts[0].Fault)
	require.Equal(t, http.StatusTeapot, first.Attempts[0].HTTPStatus)
	_, err := time.ParseDuration(first.Attempts[0].Duration)
	require.NoError(t, err)

	// A page at a time.
	var page wireDeliveries
	next := j.Links["deliveries"] + "?limit=2"
	alice.get(next).is(200).into(&page)
	require.Len(t, page.Deliveries, 2)
	next = page.Next
	page = wireDeliveries{}
	alice.get(next).is(200).into(&page)
	require.Len(t, page.Deliveries, 1)
	require.Equal(t, 3, page.Deliveries[0].Sequence)
	require.Empty(t, page.Next)

	// What the receiver has answered is the owner's alone to see.
	require.Equal(t, "short and stout\n", first.Attempts[0].Response)
	var seen wireDeliveries
	admin.get(j.Links["deliveries"]).is(200).into(&seen)
	require.Equal(t, http.StatusTeapot, seen.Deliveries[0].Attempts[0].HTTPStatus)
	require.Empty(t, seen.Deliveries[0].Attempts[0].Response)
	bob.get(j.Links["deliveries"]).fails(404, foreman.ErrNotFound)
	bob.post(first.Links.Redeliver, "").fails(404, foreman.ErrNotFound)

	// It waits already.
	require.Contains(t, string(alice.post(first.Links.Redeliver, "").fails(409, foreman.ErrState).body), "due at")
	for _, path := range []string{
		"/jobs/" + j.JobID + "/deliveries/" + j.JobID + "-4/redeliver",
		"/jobs/" + j.JobID + "/deliveries/" + j.JobID + "-01/redeliver",
		"/jobs/" + j.JobID + "/deliveries/" + ulid.Make().String() + "-1/redeliver",
		"/jobs/" + j.JobID + "/deliveries/1/redeliver",
		"/jobs/" + ulid.Make().String() + "/deliveries/" + j.JobID + "-1/redeliver",
	} {
		alice.post(path, "").fails(404, foreman.ErrNotFound)
	}
	alice.get(j.Links["deliveries"]+"?limit=0").fails(400, foreman.ErrMalformed)
	alice.get(j.Links["deliveries"]+"?cursor=x").fails(400, foreman.ErrMalformed)
	alice.get(j.Links["deliveries"]+"?after=1").fails(400, foreman.ErrMalformed)
	alice.do("DELETE", j.Links["deliveries"], "").fails(405, foreman.ErrMethod)

	// Without webhooks there is an empty list.
	plain := alice.post("/jobs", `{"model":"m","input":1}`).is(202).job()
	require.JSONEq(t, `{"deliveries":[]}`, string(alice.get(plain.Links["deliveries"]).is(200).body))
}

func asCaller(h http.Handler, c foreman.Caller) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(foreman.WithCaller(r.Context(), c)))
	})
}

func TestRedeliver(t *testing.T) {
	r := webhooktest.NewReceiver(t, nil)
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Schedule = webhook.Schedule{}
	f := newForeman(t, doNothing, o)
	a := newAPI(t, f)
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL()})
	await(t, f, id)
	deliveriesOf(t, f, id, settled)

	var d wireDelivery
	a.post("/jobs/"+id.String()+"/deliveries/"+id.String()+"-2/redeliver", "").is(202).into(&d)
	require.Equal(t, id.String()+"-2", d.ID)
	got, err := r.Wait(t.Context(), 4)
	require.NoError(t, err)
	require.Equal(t, got[1].ID(), got[3].ID(), "the same webhook-id")
	require.Equal(t, string(got[1].Body), string(got[3].Body), "and the same bytes")
	ds := deliveriesOf(t, f, id, settled)
	require.Len(t, ds[1].Attempts, 2)

	// In a new round of attempts, of which there is one: after that it has failed again.
	r.Script(webhooktest.Status(500))
	_, err = f.Redeliver(t.Context(), id, 3)
	require.NoError(t, err)
	ds = deliveriesOf(t, f, id, settled)
	require.Equal(t, []foreman.DeliveryStatus{"delivered", "delivered", "failed"}, statuses(ds))

	_, err = f.Redeliver(t.Context(), id, 4)
	require.ErrorIs(t, err, foreman.ErrNotFound)
	require.NoError(t, f.Delete(t.Context(), id))
	_, err = f.Redeliver(t.Context(), id, 3)
	require.ErrorIs(t, err, foreman.ErrNotFound)
}

// A receiver that answers 410 is told no more of the job, nor of a new round of it.
func TestGoneStopsTheDeliveriesOfAJob(t *testing.T) {
	r := webhooktest.NewReceiver(t, nil)
	r.Script(webhooktest.OK(), webhooktest.Gone())
	f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		return foreman.Permanent(errors.New("no"))
	}), foreman.Options{Webhook: hooks(time.Millisecond)})
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL()})
	await(t, f, id)
	deliveriesOf(t, f, id, settled)
	_, err := f.Retry(t.Context(), id)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return status(t, f, id).Sequence == 6 }, 10*time.Second, time.Millisecond)

	other := submit(t, f, foreman.Spec{StateWebhookURL: r.URL()})
	await(t, f, other)
	require.Equal(t, []foreman.DeliveryStatus{"delivered", "delivered", "delivered"}, statuses(deliveriesOf(t, f, other, settled)), "another job's are sent")
	require.Equal(t, []foreman.DeliveryStatus{"delivered", "stopped", "stopped", "stopped", "stopped", "stopped"},
		statuses(deliveriesOf(t, f, id, settled)))
	require.Equal(t, foreman.WebhookStatus{Delivered: 1, Failed: 5}, *status(t, f, id).Webhook)
	require.Len(t, r.Deliveries(), 5)
}

// What is overdue is caught up with as the operator says: the event of the end is
// always sent.
func TestCatchUp(t *testing.T) {
	for policy, want := range map[foreman.CatchUp][]foreman.DeliveryStatus{
		foreman.CatchUpAll:    {"delivered", "delivered", "delivered"},
		foreman.CatchUpLatest: {"superseded", "delivered", "delivered"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			r := webhooktest.NewReceiver(t, nil)
			r.Script(webhooktest.Status(500))
			o := foreman.Options{Webhook: hooks(300*time.Millisecond, time.Minute)}
			o.Webhook.CatchUp = policy
			f := newForeman(t, doNothing, o)
			start(t, f)
			id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL()})
			await(t, f, id) // before the first event is tried again
			ds := deliveriesOf(t, f, id, settled)
			require.Equal(t, want, statuses(ds))
			got := r.Deliveries()
			require.Equal(t, id.String()+"-3", got[len(got)-1].ID())
		})
	}
	_, err := foreman.New(doNothing, &foreman.Options{Dir: t.TempDir(), Webhook: foreman.WebhookOptions{CatchUp: "some"}})
	require.ErrorContains(t, err, `"latest"`)
}

// With no retries left, a receiver's fault is the end of a delivery, and our own proxy's
// is not.
func TestProxyFaultsDoNotCount(t *testing.T) {
	closed := webhooktest.NewReceiver(t, nil)
	for name, proxy := range map[string]string{"the receiver's": "", "the proxy's": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			o := foreman.Options{Webhook: hooks()}
			o.Webhook.Schedule = webhook.Schedule{}
			to := closed.URL()
			if proxy == "" {
				to = "http://127.0.0.1:1"
				o.Webhook.Guard.Ports = []uint16{1}
			} else {
				u, err := url.Parse(proxy)
				require.NoError(t, err)
				o.Webhook.Proxy = u
			}
			f := newForeman(t, doNothing, o)
			start(t, f)
			id := submit(t, f, foreman.Spec{StateWebhookURL: to, WebhookEvents: []foreman.State{foreman.Queued}})
			ds := deliveriesOf(t, f, id, func(ds []foreman.Delivery) bool { return len(ds[0].Attempts) == 1 })
			if proxy == "" {
				require.Equal(t, webhook.FaultReceiver, ds[0].Attempts[0].Fault)
				require.Equal(t, foreman.DeliveryFailed, ds[0].Status)
				return
			}
			require.Equal(t, webhook.FaultProxy, ds[0].Attempts[0].Fault)
			require.Equal(t, foreman.DeliveryPending, ds[0].Status)
		})
	}
}
