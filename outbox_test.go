package foreman_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// While every place of an endpoint hangs and more wait for it, a webhook of another one
// that becomes due again is sent when it is due: nothing else happens that would wake
// anybody.
func TestARetryBehindAFullEndpoint(t *testing.T) {
	url, asked, letGo := hanging(t)
	defer letGo()
	again := make(chan string, 10)
	tries := 0
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		again <- r.Header.Get("Webhook-Id")
	}))
	defer flaky.Close()
	o := foreman.Options{Lease: 10 * time.Minute, Webhook: hooks(100 * time.Millisecond)}
	o.Webhook.Timeout, o.Webhook.PerEndpoint = time.Hour, 2
	f := newForeman(t, doNothing, o)
	start(t, f)
	done := []foreman.State{foreman.Done}
	for range 5 {
		await(t, f, submit(t, f, foreman.Spec{StateWebhookURL: url, WebhookEvents: done}))
	}
	<-asked
	<-asked
	id := submit(t, f, foreman.Spec{StateWebhookURL: flaky.URL, WebhookEvents: done})
	select {
	case got := <-again:
		require.Equal(t, id.String()+"-3", got)
	case <-time.After(10 * time.Second):
		require.Fail(t, "not sent again")
	}
	require.Empty(t, asked, "no more than its places are taken")
}
