package foreman_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

func hooks(schedule ...time.Duration) foreman.WebhookOptions {
	return foreman.WebhookOptions{Guard: loopback, Schedule: webhook.Schedule(schedule)}
}

var doNothing = foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil })

func TestWebhooksTellEveryChange(t *testing.T) {
	r := newReceiver(t, "secret")
	o := foreman.Options{Webhook: hooks(), BaseURL: "https://jobs.example.com"}
	o.Webhook.Secret = "secret"
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		for name, size := range map[string]int{"small": 262144, "large": 262145} {
			if _, err := task.Artifact(name, "", bytes.NewReader(bytes.Repeat([]byte{0xff}, size))); err != nil {
				return err
			}
		}
		return task.SetResult(1)
	}), o)
	start(t, f)
	id := submit(t, f, foreman.Spec{Model: "qwen", StateWebhookURL: r.URL})
	got := r.wait(t, 3)
	for i, want := range []struct{ previous, state string }{{"", "queued"}, {"queued", "working"}, {"working", "done"}} {
		e := got[i]
		require.Equal(t, want.previous, e.PreviousState)
		require.Equal(t, want.state, e.State)
		require.Equal(t, id.String(), e.JobID)
		require.Equal(t, "qwen", e.Model)
		require.EqualValues(t, i+1, e.Sequence)
	}
	require.JSONEq(t, "1", string(got[2].Result))
	require.True(t, bytes.Contains(got[2].Artifacts, []byte(`"url":"https://jobs.example.com/jobs/`+id.String()+`/artifacts/large"`)))
	require.True(t, bytes.Contains(got[2].Artifacts, []byte(`"encoding":"base64"`)))
	require.Eventually(t, func() bool { return *status(t, f, id).Webhook == foreman.WebhookStatus{Delivered: 3} },
		10*time.Second, 5*time.Millisecond)
}

func TestWebhookFilter(t *testing.T) {
	r := newReceiver(t, "")
	f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		return foreman.Permanent(errors.New("no"))
	}), foreman.Options{Webhook: hooks()})
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: r.URL, WebhookEvents: []foreman.State{foreman.Failed, foreman.Done}})
	e := r.wait(t, 1)[0]
	require.Equal(t, "failed", e.State)
	require.JSONEq(t, `{"type":"backend_rejected","message":"no","attempt":1,"retryable":false}`, string(e.Error))
	require.Equal(t, 1, status(t, f, id).Webhook.Delivered+status(t, f, id).Webhook.Pending)
}

func TestWebhooksAreRetriedInOrder(t *testing.T) {
	var mu sync.Mutex
	var bodies, ids []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies, ids = append(bodies, b.String()), append(ids, r.Header.Get("Webhook-Id"))
		if len(ids) <= 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond)})
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: srv.URL})
	require.Eventually(t, func() bool { return status(t, f, id).Webhook.Delivered == 3 }, 10*time.Second, 5*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	first := id.String() + "-1"
	require.Equal(t, []string{first, first, first, first, id.String() + "-2", id.String() + "-3"}, ids, "the first until it is through, then the others")
	for _, b := range bodies[:4] {
		require.Equal(t, bodies[0], b, "the same bytes each time")
	}
}

func TestWebhooksGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		status, attempts int
	}{
		"after the last retry": {http.StatusInternalServerError, 3},
		"at once when gone":    {http.StatusGone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var attempts atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				attempts.Add(1)
				w.WriteHeader(tc.status)
			}))
			defer srv.Close()
			f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(time.Millisecond, time.Millisecond)})
			start(t, f)
			id := submit(t, f, foreman.Spec{StateWebhookURL: srv.URL, WebhookEvents: []foreman.State{foreman.Done}})
			require.Eventually(t, func() bool { return status(t, f, id).Webhook.Failed == 1 }, 10*time.Second, 5*time.Millisecond)
			require.EqualValues(t, tc.attempts, attempts.Load())
			require.Equal(t, foreman.Done, status(t, f, id).State, "the job has nothing to do with it")
		})
	}
}

// Many jobs for an endpoint that never answers do not keep those of another waiting.
func TestADeadEndpointSlowsNobody(t *testing.T) {
	hang := make(chan struct{})
	dead := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer dead.Close()
	defer close(hang)
	live := newReceiver(t, "")
	f := newForeman(t, doNothing, foreman.Options{PerSlot: 8, Webhook: hooks(time.Hour)})
	start(t, f)
	for range 200 {
		submit(t, f, foreman.Spec{StateWebhookURL: dead.URL})
	}
	for range 50 {
		submit(t, f, foreman.Spec{StateWebhookURL: live.URL})
	}
	live.wait(t, 150)
}

// What is pending when a job is deleted is delivered all the same.
func TestDeleteKeepsPendingWebhooks(t *testing.T) {
	var up atomic.Bool
	seen := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		seen <- r.Header.Get("Webhook-Id")
	}))
	defer srv.Close()
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks(50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond, time.Second)})
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: srv.URL})
	await(t, f, id)
	require.NoError(t, f.Delete(t.Context(), id))
	up.Store(true)
	for _, seq := range []string{"-1", "-2", "-3"} {
		require.Equal(t, id.String()+seq, <-seen)
	}
}

// Who is refused is told by which rule, and which option of whom allows it.
func TestWebhookRefusalSaysWhatAllowsIt(t *testing.T) {
	a := newAPI(t, newForeman(t, doNothing, foreman.Options{}))
	for url, want := range map[string]string{
		"http://10.1.2.3/": "state_webhook_url: webhook: address 10.1.2.3 refused: 10.0.0.0/8: private; " +
			"to allow it, add it to GuardOptions.Prefixes, or the host to GuardOptions.Hosts " +
			"(WebhookOptions.Guard.Prefixes; in foremand, -webhook-allow or -webhook-allow-hosts)",
		"http://hooks.example.com:25/": "state_webhook_url: webhook: port 25 refused: below 1024 only 80 and 443 are for HTTP; " +
			"to allow it, set GuardOptions.Ports (WebhookOptions.Guard.Ports; in foremand, -webhook-ports)",
		"http://[fe80::1%25lo]/": "state_webhook_url: webhook: address fe80::1%lo refused: addresses with a zone belong to one link; no option allows it",
		"gopher://127.0.0.1/":    "state_webhook_url: webhook: the scheme of the URL is neither https nor http: use one of these",
	} {
		r := a.post("/jobs", `{"model":"m","state_webhook_url":"`+url+`"}`).is(http.StatusUnprocessableEntity)
		var p struct{ Type, Detail string }
		require.NoError(t, json.Unmarshal(r.body, &p))
		require.Equal(t, "webhook_refused", p.Type)
		require.Equal(t, want, p.Detail)
	}
	_, err := foreman.New(doNothing, &foreman.Options{Dir: t.TempDir(), Webhook: foreman.WebhookOptions{Guard: webhook.GuardOptions{Hosts: []string{"*"}}}})
	require.ErrorContains(t, err, "GuardOptions.Hosts")
}

func TestWebhookRefusedAtSubmit(t *testing.T) {
	f := newForeman(t, doNothing, foreman.Options{})
	for _, url := range []string{"http://127.0.0.1/", "http://169.254.169.254/", "ftp://example.com", "http://user@example.com/", "nonsense"} {
		_, err := f.Submit(t.Context(), foreman.Spec{Model: "m", StateWebhookURL: url})
		require.ErrorIs(t, err, foreman.ErrWebhookRefused, url)
	}
	p, err := f.List(t.Context(), foreman.Query{})
	require.NoError(t, err)
	require.Empty(t, p.Jobs)
	_, err = f.Status(t.Context(), ulid.ULID{})
	require.ErrorIs(t, err, foreman.ErrNotFound)
}
