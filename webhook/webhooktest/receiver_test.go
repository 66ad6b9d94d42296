package webhooktest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

const (
	secret = "a secret"
	body   = `{"job_id":"1","state":"done","sequence":3}`
)

func newSender(t *testing.T, o webhook.SenderOptions) *webhook.Sender {
	t.Helper()
	o.Guard = webhook.AllowAll()
	s, err := webhook.NewSender(&o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func signing(t *testing.T) *webhook.Sender {
	return newSender(t, webhook.SenderOptions{Secret: secret})
}

func verifying(t *testing.T) *webhooktest.Receiver {
	return webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{secret}})
}

func message(r *webhooktest.Receiver) webhook.Message {
	return webhook.Message{URL: r.URL() + "/hook?a=b", ID: "evt_1", Body: []byte(body)}
}

func TestKeepsWhatComes(t *testing.T) {
	r := verifying(t)
	before := time.Now()
	require.Equal(t, webhook.Delivered, signing(t).Send(t.Context(), message(r)).Result)
	require.Len(t, r.Deliveries(), 1)
	d := r.Deliveries()[0]
	require.NoError(t, d.Err)
	require.WithinRange(t, d.Time, before, time.Now())
	require.Equal(t, "POST", d.Method)
	require.Equal(t, "/hook?a=b", d.Path)
	require.Equal(t, "evt_1", d.ID())
	require.Equal(t, body, string(d.Body))
	require.Equal(t, webhook.Event{JobID: "1", State: "done", Sequence: 3}, d.Event)
}

func TestVerifies(t *testing.T) {
	for name, c := range map[string]struct {
		o      *webhooktest.Options
		secret string
		want   error
		status int
	}{
		"no secret":    {nil, "", nil, 200},
		"the secret":   {&webhooktest.Options{Secrets: []string{"new", secret}}, secret, nil, 200},
		"another":      {&webhooktest.Options{Secrets: []string{"new"}}, secret, webhook.ErrSignature, 401},
		"not signed":   {&webhooktest.Options{Secrets: []string{"new"}}, "", webhook.ErrNotSigned, 401},
		"strict about": {&webhooktest.Options{Secrets: []string{secret}, Tolerance: 1}, secret, webhook.ErrTimestamp, 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := webhooktest.NewReceiver(t, c.o)
			out := newSender(t, webhook.SenderOptions{Secret: c.secret}).Send(t.Context(), message(r))
			require.Equal(t, c.status, out.Status)
			require.ErrorIs(t, r.Deliveries()[0].Err, c.want)
		})
	}
}

// What a Sender makes of each fault.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer     webhooktest.Answer
		result     webhook.Result
		status     int
		retryAfter time.Duration
		timeout    time.Duration // for what never comes; the usual one if 0
	}{
		"zero":               {webhooktest.Answer{}, webhook.Delivered, 200, 0, 0},
		"OK":                 {webhooktest.OK(), webhook.Delivered, 200, 0, 0},
		"status":             {webhooktest.Status(500), webhook.Retry, 500, 0, 0},
		"gone":               {webhooktest.Gone(), webhook.Stop, 410, 0, 0},
		"too many":           {webhooktest.TooMany(90*time.Second - 1), webhook.Retry, 429, 90 * time.Second, 0},
		"unavailable":        {webhooktest.Unavailable(time.Minute), webhook.Retry, 503, time.Minute, 0},
		"redirect":           {webhooktest.Redirect(301, "/moved"), webhook.Retry, 301, 0, 0},
		"slow headers":       {webhooktest.SlowHeaders(10 * time.Millisecond), webhook.Delivered, 200, 0, 0},
		"slower headers":     {webhooktest.SlowHeaders(time.Hour), webhook.Retry, 0, 0, 200 * time.Millisecond},
		"slow body":          {webhooktest.SlowBody(3, time.Millisecond), webhook.Delivered, 200, 0, 0},
		"slower body":        {webhooktest.SlowBody(3, time.Hour), webhook.Delivered, 200, 0, 2 * time.Second},
		"hang":               {webhooktest.Hang(), webhook.Retry, 0, 0, 200 * time.Millisecond},
		"bomb":               {webhooktest.GzipBomb(1 << 20), webhook.Delivered, 200, 0, 0},
		"reset":              {webhooktest.Reset(), webhook.Retry, 0, 0, 0},
		"truncated":          {webhooktest.Truncated(), webhook.Delivered, 200, 0, 0},
		"clock a little off": {webhooktest.ClockOff(-4 * time.Minute), webhook.Delivered, 200, 0, 0},
		"clock fast":         {webhooktest.ClockOff(6 * time.Minute), webhook.Retry, 401, 0, 0},
		"clock slow":         {webhooktest.ClockOff(-6 * time.Minute), webhook.Retry, 401, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := verifying(t)
			r.Script(c.answer)
			s := newSender(t, webhook.SenderOptions{Secret: secret, Timeout: c.timeout})
			out := s.Send(t.Context(), message(r))
			require.Equal(t, c.result, out.Result, out.Err)
			require.Equal(t, c.status, out.Status)
			require.Equal(t, c.retryAfter, out.RetryAfter)
			d := r.Deliveries()[0]
			require.Equal(t, c.status, d.Status)
			require.Equal(t, c.result == webhook.Delivered, d.Accepted())
			require.Equal(t, c.status == 0, d.Answered.IsZero())
			require.False(t, c.status != 0 && d.Answered.Before(d.Time))

			out = signing(t).Send(t.Context(), message(r))
			require.Equal(t, webhook.Delivered, out.Result, "after the script")
			got := r.Deliveries()
			require.Len(t, got, 2, "and no redirect was followed")
			require.Equal(t, c.status == http.StatusUnauthorized, errors.Is(got[0].Err, webhook.ErrTimestamp))
		})
	}
}

// The faults are what they are called, as a client sees them that bears all.
func TestFaultsOnTheWire(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	post := func(t *testing.T, a webhooktest.Answer) (*http.Response, []byte, error) {
		t.Helper()
		r := webhooktest.NewReceiver(t, nil)
		r.Script(a)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL(), strings.NewReader(body))
		require.NoError(t, err)
		resp, err := client.Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		return resp, b, err
	}
	t.Run("bomb", func(t *testing.T) {
		resp, packed, err := post(t, webhooktest.GzipBomb(4<<20))
		require.NoError(t, err)
		require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
		require.Less(t, len(packed), 16<<10)
		z, err := gzip.NewReader(bytes.NewReader(packed))
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, z)
		require.NoError(t, err)
		require.EqualValues(t, 4<<20, n)
	})
	t.Run("truncated", func(t *testing.T) {
		_, b, err := post(t, webhooktest.Truncated())
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, b, 10)
	})
	t.Run("slow body", func(t *testing.T) {
		_, b, err := post(t, webhooktest.SlowBody(5, time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, ".....", string(b))
	})
	t.Run("reset", func(t *testing.T) {
		_, _, err := post(t, webhooktest.Reset())
		require.Error(t, err)
	})
	t.Run("redirect", func(t *testing.T) {
		resp, _, err := post(t, webhooktest.Redirect(302, "/moved"))
		require.NoError(t, err)
		require.Equal(t, "/moved", resp.Request.URL.Path, "this client follows it")
		require.Equal(t, "GET", resp.Request.Method, "and loses the event on the way")
	})
}

// A request is answered by what it is, once the script is over.
func TestAnswerByRequest(t *testing.T) {
	r := webhooktest.NewReceiver(t, &webhooktest.Options{
		Secrets: []string{secret},
		Answer: func(d webhooktest.Delivery) webhooktest.Answer {
			if d.Err == nil && d.Event.Sequence == 3 {
				return webhooktest.Status(202)
			}
			return webhooktest.Status(400)
		},
	})
	r.Script(webhooktest.Status(500))
	s := signing(t)
	require.Equal(t, 500, s.Send(t.Context(), message(r)).Status)
	require.Equal(t, 202, s.Send(t.Context(), message(r)).Status)
	m := message(r)
	m.Body = []byte("not an event")
	require.Equal(t, 400, s.Send(t.Context(), m).Status)
	require.Zero(t, r.Deliveries()[2].Event)
	require.NoError(t, r.Deliveries()[2].Err, "it is signed all the same")
}

func TestWait(t *testing.T) {
	r := verifying(t)
	got, err := r.Wait(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, got)

	s := signing(t)
	var senders sync.WaitGroup
	for range 10 {
		senders.Go(func() { s.Send(t.Context(), message(r)) })
	}
	got, err = r.Wait(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, got, 10)
	senders.Wait()

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	got, err = r.Wait(ctx, 11)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.ErrorContains(t, err, "10 of 11")
	require.Len(t, got, 10)
}

// A receiver that hangs does not keep its test from ending, even while the sender
// stays.
func TestEndsWithTheTest(t *testing.T) {
	s := signing(t)
	out := make(chan webhook.Outcome, 4)
	t.Run("hang", func(t *testing.T) {
		r := verifying(t)
		r.Script(webhooktest.Hang(), webhooktest.SlowHeaders(time.Hour), webhooktest.SlowBody(9, time.Hour), webhooktest.Hang())
		ctx := context.WithoutCancel(t.Context())
		for range cap(out) {
			go func() { out <- s.Send(ctx, message(r)) }()
		}
		_, err := r.Wait(t.Context(), cap(out))
		require.NoError(t, err)
	})
	for range cap(out) {
		<-out
	}
}

func TestRefusesWhatIsNoSecret(t *testing.T) {
	f := &fatal{TB: t}
	func() {
		defer func() { require.Equal(t, f, recover()) }()
		webhooktest.NewReceiver(f, &webhooktest.Options{Secrets: []string{""}})
	}()
	require.True(t, f.called)
}

// fatal is a test that is told to end.
type fatal struct {
	testing.TB
	called bool
}

func (f *fatal) Fatal(...any) {
	f.called = true
	panic(f)
}
