package daemon

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

const event = `{"job_id":"01JD3Z8W9K6T5QF2V7N4X1B0CG","state":"working","previous_state":"queued"}`

// What a Sender signs is verified, with both kinds of secret.
func TestReceiver(t *testing.T) {
	for _, secret := range []string{"a secret", "whsec_aGVsbG8gdGhlcmU="} {
		t.Run(secret, func(t *testing.T) {
			var out strings.Builder
			rc, err := newReceiver(secret, &out)
			require.NoError(t, err)
			srv := httptest.NewServer(rc)
			defer srv.Close()
			send := func(secret, body string) int {
				g, err := webhook.NewGuard(&webhook.GuardOptions{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
				require.NoError(t, err)
				s, err := webhook.NewSender(&webhook.SenderOptions{
					Secret: secret, Guard: g,
				})
				require.NoError(t, err)
				defer s.Close()
				return s.Send(context.Background(), webhook.Message{URL: srv.URL, ID: "job-1", Body: []byte(body)}).Status
			}
			require.Equal(t, http.StatusOK, send(secret, `{"job_id":"01JD3Z8W9K6T5QF2V7N4X1B0CG","state":"queued"}`))
			require.Equal(t, http.StatusOK, send(secret, event))
			require.Equal(t, http.StatusUnauthorized, send("another", event))
			require.Equal(t, http.StatusUnauthorized, send("", event))
			require.Equal(t, http.StatusBadRequest, send(secret, `"no event"`))
			require.Equal(t, "webhook verified  01JD3Z8W9K6T5QF2V7N4X1B0CG  queued\n"+
				"webhook verified  01JD3Z8W9K6T5QF2V7N4X1B0CG  queued -> working\n"+
				"webhook refused   X-Foreman-Signature does not match\n"+
				"webhook refused   X-Foreman-Signature does not match\n"+
				"webhook refused   not an event\n", out.String())
		})
	}
}

// signed is a webhook as a Sender makes it, but for the time, which is free.
func signed(secret, id string, at time.Time, body string) *http.Request {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id + "." + stamp + "." + body))
	r := httptest.NewRequest(http.MethodPost, hookPath, strings.NewReader(body))
	r.Header.Set("X-Foreman-Signature", webhook.Sign([]byte(body), secret))
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", stamp)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return r
}

// The signature of the body is not enough: those of Standard Webhooks count as well.
func TestReceiverStandardWebhooks(t *testing.T) {
	const secret = "a secret"
	tests := []struct {
		name   string
		ago    time.Duration
		change func(http.Header)
		status int
	}{
		{"as it was signed", 0, func(http.Header) {}, http.StatusOK},
		{"beside that of another secret", 0, func(h http.Header) { h.Set("Webhook-Signature", "v1,AAAA "+h.Get("Webhook-Signature")) }, http.StatusOK},
		{"a little ago", 4 * time.Minute, func(http.Header) {}, http.StatusOK},
		{"long ago", 6 * time.Minute, func(http.Header) {}, http.StatusUnauthorized},
		{"not yet", -6 * time.Minute, func(http.Header) {}, http.StatusUnauthorized},
		{"no signature", 0, func(h http.Header) { h.Del("Webhook-Signature") }, http.StatusUnauthorized},
		{"no time", 0, func(h http.Header) { h.Del("Webhook-Timestamp") }, http.StatusUnauthorized},
		{"another id", 0, func(h http.Header) { h.Set("Webhook-Id", "other") }, http.StatusUnauthorized},
		{"another time", time.Minute, func(h http.Header) { h.Set("Webhook-Timestamp", strconv.FormatInt(time.Now().Unix(), 10)) }, http.StatusUnauthorized},
		{"another version", 0, func(h http.Header) {
			h.Set("Webhook-Signature", strings.Replace(h.Get("Webhook-Signature"), "v1,", "v2,", 1))
		}, http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			r := signed(secret, "job-1", time.Now().Add(-tt.ago), event)
			tt.change(r.Header)
			w := httptest.NewRecorder()
			rc, err := newReceiver(secret, &out)
			require.NoError(t, err)
			rc.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, tt.status == http.StatusOK, strings.HasPrefix(out.String(), "webhook verified"), out.String())
		})
	}
}

func TestReceiverBoundsBodies(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, hookPath, io.LimitReader(zeros{}, mostWebhook+1))
	rc, err := newReceiver("a secret", io.Discard)
	require.NoError(t, err)
	rc.ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
