package webhook_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// What is sent while a secret is being replaced: primary first, the old ones until
// they expire, and the other header with the primary alone.
func TestSendRotation(t *testing.T) {
	const newer = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	hour := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		old  []webhook.OldSecret
		keys []string
	}{
		"none":                  {nil, nil},
		"for ever":              {[]webhook.OldSecret{{Secret: "old"}}, []string{"old"}},
		"for an hour":           {[]webhook.OldSecret{{Secret: "old", Expires: hour}}, []string{"old"}},
		"expired":               {[]webhook.OldSecret{{Secret: "old", Expires: time.Now()}}, nil},
		"some expired":          {[]webhook.OldSecret{{"1", time.Unix(1, 0)}, {"2", hour}, {"3", time.Unix(1, 0)}, {"4", time.Time{}}}, []string{"2", "4"}},
		"as Standard Webhooks":  {[]webhook.OldSecret{{Secret: "whsec_YWJj"}}, []string{"abc"}},
		"as many as can be":     {slices.Repeat([]webhook.OldSecret{{Secret: "old"}}, 10), slices.Repeat([]string{"old"}, 10)},
		"the same as the newer": {[]webhook.OldSecret{{Secret: newer}}, []string{"0123456789abcdef0123456789abcdef"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, status(http.StatusOK))
			s := newSender(t, webhook.SenderOptions{Secret: newer, OldSecrets: c.old})
			require.Equal(t, webhook.Delivered, s.Send(t.Context(), message(r.URL)).Result)
			got := r.requests()[0]
			var want []string
			for _, k := range append([]string{"0123456789abcdef0123456789abcdef"}, c.keys...) {
				want = append(want, "v1,"+base64.StdEncoding.EncodeToString(standardSum([]byte(k), got)))
			}
			require.Equal(t, []string{strings.Join(want, " ")}, got.header.Values("webhook-signature"))
			require.Equal(t, []string{webhook.Sign([]byte(got.body), newer)}, got.header.Values("X-Foreman-Signature"))
		})
	}
}

func TestNewSenderRefusesOldSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		secret string
		old    []webhook.OldSecret
		want   string
	}{
		"too many":      {"new", slices.Repeat([]webhook.OldSecret{{Secret: "old"}}, 11), "keep the newest 10"},
		"no new one":    {"", []webhook.OldSecret{{Secret: "old"}}, "set the secret"},
		"empty":         {"new", []webhook.OldSecret{{Secret: "old"}, {}}, "old secret 2 is empty"},
		"not base64":    {"new", []webhook.OldSecret{{Secret: "whsec_%"}}, "old secret 1 starts with whsec_"},
		"line break":    {"new", []webhook.OldSecret{{Secret: "whsec_YWJj\n"}}, "old secret 1 has to be"},
		"expired alone": {"", []webhook.OldSecret{{"old", time.Unix(1, 0)}}, "set the secret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.NewSender(&webhook.SenderOptions{Secret: c.secret, OldSecrets: c.old})
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "whsec_%", "no part of a secret")
		})
	}
}

// An old secret ends at its time, without a new Sender.
func TestOldSecretExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := webhook.NewSender(&webhook.SenderOptions{
			Secret:     "new",
			OldSecrets: []webhook.OldSecret{{"old", time.Now().Add(time.Minute)}},
		})
		require.NoError(t, err)
		entries := func() int { return len(strings.Fields(s.Headers("evt_1", []byte("{}")).Get("webhook-signature"))) }
		require.Equal(t, 2, entries())
		time.Sleep(time.Minute - 1)
		require.Equal(t, 2, entries())
		time.Sleep(time.Nanosecond)
		require.Equal(t, 1, entries())
	})
}

// Whoever has a better clock than the machine's signs by it, and has old secrets expire by it.
func TestSenderClock(t *testing.T) {
	expires := time.Unix(2_000_000_000, 0)
	now := expires.Add(-time.Second)
	s := newSender(t, webhook.SenderOptions{
		Secret: "new", OldSecrets: []webhook.OldSecret{{"old", expires}}, Now: func() time.Time { return now },
	})
	r := webhooktest.NewReceiver(t, nil)
	send := func() http.Header {
		require.Equal(t, webhook.Delivered, s.Send(t.Context(), webhook.Message{URL: r.URL(), ID: "evt_1", Body: []byte("{}")}).Result)
		got := r.Deliveries()
		return got[len(got)-1].Header
	}
	h := send()
	require.Equal(t, "1999999999", h.Get("webhook-timestamp"))
	require.Len(t, strings.Fields(h.Get("webhook-signature")), 2)
	now = expires
	h = send()
	require.Equal(t, "2000000000", h.Get("webhook-timestamp"))
	require.Len(t, strings.Fields(h.Get("webhook-signature")), 1)
}

// The baseline is what one HMAC costs that is made anew, as a receiver's Sign is.
func BenchmarkSigning(b *testing.B) {
	body := []byte(strings.Repeat("x", 200))
	b.Run("anew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			webhook.Sign(body, "new")
		}
	})
	for _, old := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("old=%d", old), func(b *testing.B) {
			s, err := webhook.NewSender(&webhook.SenderOptions{
				Secret: "new", OldSecrets: slices.Repeat([]webhook.OldSecret{{Secret: "old"}}, old),
			})
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				s.Headers("01M85PGTP08PXFYBRQN7C8XPP7-3", body)
			}
		})
	}
}
