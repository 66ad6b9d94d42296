package foreman_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// hanging is an endpoint that answers nobody until it is let go. It tells of requests.
func hanging(t *testing.T) (url string, asked <-chan string, letGo func()) {
	shut, letGo := latch()
	requests := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests <- r.Header.Get("Webhook-Id")
		<-shut
	}))
	t.Cleanup(s.Close)
	t.Cleanup(letGo)
	return s.URL, requests, letGo
}

// What was claimed ahead is given back when a drain begins, however long a webhook takes
// that is under way.
func TestADrainDoesNotWaitForWebhooksFirst(t *testing.T) {
	url, asked, letGo := hanging(t)
	var settled, back atomic.Int64
	firstBack := make(chan int64, 1) // how many webhooks were settled before
	s := &spied{
		Store:    openStore(t),
		settling: func() { settled.Add(1) },
		changing: func(changes []store.Change) {
			for _, c := range changes {
				if c.Head.State == store.Queued && back.Add(1) == 1 {
					firstBack <- settled.Load()
				}
			}
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	o := foreman.Options{Store: s, Dir: t.TempDir(), DrainTimeout: time.Hour, Webhook: hooks(time.Hour)}
	o.Webhook.Timeout = 3 * time.Second // by then it is over for sure
	leave, letLeave := latch()
	defer letLeave()
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		switch {
		case task.Spec.StateWebhookURL != "":
			<-asked
		case task.Spec.Priority == 0:
			stop() // now that the others are claimed
			<-leave
		}
		return nil
	}), o)
	submit(t, f, foreman.Spec{Priority: 2, StateWebhookURL: url, WebhookEvents: []foreman.State{foreman.Working}})
	for range 40 {
		submit(t, f, foreman.Spec{Priority: 1}) // quick ones, for more to be claimed ahead
	}
	for range 20 {
		submit(t, f, foreman.Spec{})
	}
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	require.Zero(t, <-firstBack, "the webhook is still under way")
	letGo()
	letLeave()
	require.NoError(t, <-ran)
}
