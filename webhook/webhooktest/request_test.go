package webhooktest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// The test of a receiver: what it does with an event, the same event again, and one
// that somebody else has made.
func TestNewRequest(t *testing.T) {
	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{secret}})
	require.NoError(t, err)
	var ids []string
	handler := v.Handler(func(_ context.Context, d webhook.Received) error {
		require.Equal(t, "done", d.Event.State)
		ids = append(ids, d.ID)
		return nil
	})
	answer := func(r *http.Request) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}

	first := webhooktest.NewRequest(t, "/webhooks", secret, webhook.Event{JobID: "1", State: "done"})
	again := webhooktest.Again(t, secret, first)
	require.Equal(t, http.StatusNoContent, answer(first))
	require.Equal(t, http.StatusNoContent, answer(again))
	require.Equal(t, "/webhooks", first.URL.Path)
	require.Equal(t, "foreman-webhook/1", first.Header.Get("User-Agent"))
	require.Len(t, ids, 2)
	require.Equal(t, ids[0], ids[1])

	other := webhooktest.NewRequest(t, "/webhooks", secret, webhook.Event{JobID: "1", State: "done"})
	require.NotEqual(t, ids[0], other.Header.Get("webhook-id"))
	other.Header.Set("webhook-id", ids[0])
	require.Equal(t, http.StatusUnauthorized, answer(other), "it is signed")
	forged := webhooktest.NewRequest(t, "/webhooks", "a guess", webhook.Event{JobID: "1", State: "done"})
	require.Equal(t, http.StatusUnauthorized, answer(forged))
}
