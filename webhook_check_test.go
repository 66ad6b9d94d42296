package foreman_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

type wireCheck struct {
	URL, Refused, ID           string
	Allowed, Signed, Delivered bool
	Addresses                  []struct {
		Address, Refused string
		Allowed          bool
	}
	Attempt *struct {
		Phase, Fault, Error, Response string
		HTTPStatus                    int `json:"http_status"`
	}
}

func TestCheckWebhook(t *testing.T) {
	r := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{"secret"}})
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Secret = "secret"
	a := newAPI(t, newForeman(t, doNothing, o))
	check := func(url string) (c wireCheck) {
		a.post("/webhooks/check", `{"url":"`+url+`"}`).is(200).into(&c)
		require.Equal(t, url, c.URL)
		return c
	}

	c := check(r.URL())
	require.True(t, c.Allowed)
	require.True(t, c.Signed)
	require.True(t, c.Delivered)
	require.Len(t, c.Addresses, 1)
	require.Equal(t, "127.0.0.1", c.Addresses[0].Address)
	require.True(t, c.Addresses[0].Allowed)
	require.Equal(t, 200, c.Attempt.HTTPStatus)
	got := r.Deliveries()
	require.Len(t, got, 1)
	require.NoError(t, got[0].Err, "it is signed as webhooks are")
	require.Equal(t, c.ID, got[0].ID())
	require.Equal(t, "ping", got[0].Event.State)
	_, err := ulid.ParseStrict(got[0].Event.JobID)
	require.NoError(t, err)
	a.get("/jobs/"+got[0].Event.JobID).fails(404, foreman.ErrNotFound)

	r.Script(webhooktest.Status(http.StatusNotFound))
	c = check(r.URL())
	require.False(t, c.Delivered)
	require.Equal(t, 404, c.Attempt.HTTPStatus)
	require.Equal(t, "receiver", c.Attempt.Fault)

	c = check("http://10.0.0.1/hook")
	require.False(t, c.Allowed)
	require.Contains(t, c.Refused, "10.0.0.0/8")
	require.Contains(t, c.Refused, "-webhook-allow")
	require.Nil(t, c.Attempt, "nothing is sent")

	c = check("ftp://example.com")
	require.Contains(t, c.Refused, "scheme")

	c = check("http://127.0.0.1:1/")
	require.Contains(t, c.Refused, "Ports")
}

func TestCheckWebhookRefusesBadRequests(t *testing.T) {
	a := newAPI(t, newForeman(t, doNothing, foreman.Options{}))
	for body, code := range map[string]foreman.Code{
		``:                               foreman.ErrMalformed,
		`[]`:                             foreman.ErrMalformed,
		`{"url":"http://a","url":"b"}`:   foreman.ErrMalformed,
		`{}`:                             foreman.ErrInvalid,
		`{"url":1}`:                      foreman.ErrInvalid,
		`{"url":"http://a/","secret":1}`: foreman.ErrInvalid,
	} {
		want := 422
		if code == foreman.ErrMalformed {
			want = 400
		}
		a.post("/webhooks/check", body).fails(want, code)
	}
	a.get("/webhooks/check").fails(405, foreman.ErrMethod)
}

// Checks are few at a time, since each may take as long as an attempt.
func TestCheckWebhookIsBounded(t *testing.T) {
	r := webhooktest.NewReceiver(t, nil)
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks()})
	a := newAPI(t, f)
	hang := make([]webhooktest.Answer, 4)
	for i := range hang {
		hang[i] = webhooktest.Hang()
	}
	r.Script(hang...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(hang))
	for range hang {
		go func() {
			_, err := f.CheckWebhook(ctx, r.URL())
			ended <- err
		}()
	}
	_, err := r.Wait(t.Context(), len(hang))
	require.NoError(t, err)
	answer := a.post("/webhooks/check", `{"url":"`+r.URL()+`"}`).fails(503, foreman.ErrBusy)
	require.NotEmpty(t, answer.header.Get("Retry-After"))
	cancel()
	for range hang {
		require.ErrorIs(t, <-ended, context.Canceled)
	}
	_, err = f.CheckWebhook(t.Context(), r.URL())
	require.NoError(t, err)
}

// Of several owners each can check one URL, and none all.
func TestCheckWebhookForEachOwner(t *testing.T) {
	r := webhooktest.NewReceiver(t, nil)
	r.Script(webhooktest.Hang())
	f := newForeman(t, doNothing, foreman.Options{Webhook: hooks()})
	alice := serveAt(t, f, asCaller(f.Handler(), foreman.Caller{Owner: "alice"}))
	bob := serveAt(t, f, asCaller(f.Handler(), foreman.Caller{Owner: "bob"}))
	body := `{"url":"` + r.URL() + `"}`
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, alice.url+"/webhooks/check", strings.NewReader(body))
		if err == nil {
			_, err = alice.c.Do(req)
		}
		first <- err
	}()
	arrived(t, r, 1)
	alice.post("/webhooks/check", body).fails(503, foreman.ErrBusy)
	bob.post("/webhooks/check", body).is(200)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.Eventually(t, func() bool { return alice.post("/webhooks/check", body).status == 200 }, 10*time.Second, time.Millisecond)
}

// A receiver that does not answer in time is at fault, and the check says so.
func TestCheckWebhookThatHangs(t *testing.T) {
	r := webhooktest.NewReceiver(t, hangs())
	o := foreman.Options{Webhook: hooks()}
	o.Webhook.Timeout = 100 * time.Millisecond
	c, err := newForeman(t, doNothing, o).CheckWebhook(t.Context(), r.URL())
	require.NoError(t, err)
	require.False(t, c.Delivered)
	require.Equal(t, webhook.FaultReceiver, c.Attempt.Fault)
	require.Equal(t, webhook.PhaseHeaders, c.Attempt.Phase)
	require.Contains(t, c.Attempt.Error, "no answer within 100ms")
}
