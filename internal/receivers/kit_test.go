// Package receivers_test verifies real deliveries with what receivers have: the
// libraries of Standard Webhooks, Svix and GitHub for Go and for Node, and the
// programs in docs/receivers.md.
package receivers_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	svix "github.com/svix/svix-webhooks/go"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	plainSecret    = "a secret of at least 24 random bytes"
	standardSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// delivery is a request as it came, and what a receiver with a secret has to make
// of it.
type delivery struct {
	header   http.Header
	body     []byte
	secret   string
	standard bool // whether webhook-signature is right, and of now
	github   bool // whether X-Foreman-Signature is right
}

// shared is a secret as a library of Standard Webhooks takes it.
func shared(secret string) string {
	if strings.HasPrefix(secret, "whsec_") {
		return secret
	}
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
}

// capture returns a request as a Sender has made it.
func capture(t *testing.T, o webhook.SenderOptions) *webhooktest.Delivery {
	t.Helper()
	r := webhooktest.NewReceiver(t, nil)
	require.Equal(t, webhook.Delivered, newSender(t, o).Send(t.Context(), message(t, r.URL())).Result)
	return &r.Deliveries()[0]
}

// deliveries are requests that a Sender has made, and what else may come.
func deliveries(t *testing.T) map[string]delivery {
	t.Helper()
	one := capture(t, webhook.SenderOptions{Secret: plainSecret})
	standard := capture(t, webhook.SenderOptions{Secret: standardSecret})
	old := webhook.OldSecret{Secret: plainSecret, Expires: time.Now().Add(time.Hour)}
	both := capture(t, webhook.SenderOptions{Secret: standardSecret, OldSecrets: []webhook.OldSecret{old}})
	old.Expires = time.Now()
	after := capture(t, webhook.SenderOptions{Secret: standardSecret, OldSecrets: []webhook.OldSecret{old}})
	return map[string]delivery{
		"any secret":                      {one.Header, one.Body, plainSecret, true, true},
		"secret of Standard Webhooks":     {standard.Header, standard.Body, standardSecret, true, true},
		"during rotation, new secret":     {both.Header, both.Body, standardSecret, true, true},
		"during rotation, old secret":     {both.Header, both.Body, plainSecret, true, false},
		"after rotation, new secret":      {after.Header, after.Body, standardSecret, true, true},
		"after rotation, old secret":      {after.Header, after.Body, plainSecret, false, false},
		"another secret":                  {one.Header, one.Body, "another secret", false, false},
		"changed body":                    {one.Header, append(one.Body[:len(one.Body):len(one.Body)], ' '), plainSecret, false, false},
		"not signed":                      {capture(t, webhook.SenderOptions{}).Header, one.Body, plainSecret, false, false},
		"290 s old":                       {aged(t, plainSecret, one, 290*time.Second), one.Body, plainSecret, true, true},
		"301 s old":                       {aged(t, plainSecret, one, 301*time.Second), one.Body, plainSecret, false, true},
		"400 s in the future":             {aged(t, plainSecret, one, -400*time.Second), one.Body, plainSecret, false, true},
		"signed by another, and by us":    {beside(one.Header, "v1,AAAA "+one.Header.Get("webhook-signature")), one.Body, plainSecret, true, true},
		"signed by another, asymmetric":   {beside(one.Header, "v1a,AAAA "+one.Header.Get("webhook-signature")), one.Body, plainSecret, true, true},
		"signed in a version that is not": {beside(one.Header, "v9,AAAA"), one.Body, plainSecret, false, true},
	}
}

// aged returns the header that d had if it had been sent earlier: the signature is
// right, and made by another's library.
func aged(t *testing.T, secret string, d *webhooktest.Delivery, age time.Duration) http.Header {
	t.Helper()
	wh, err := svix.NewWebhook(shared(secret))
	require.NoError(t, err)
	at := time.Now().Add(-age)
	signature, err := wh.Sign(d.ID(), at, d.Body)
	require.NoError(t, err)
	h := beside(d.Header, signature)
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	return h
}

func beside(h http.Header, signature string) http.Header {
	h = h.Clone()
	h.Set("webhook-signature", signature)
	return h
}

func newSender(t *testing.T, o webhook.SenderOptions) *webhook.Sender {
	t.Helper()
	o.Guard = webhook.AllowAll()
	s, err := webhook.NewSender(&o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// message has a body with all that a receiver could change before it verifies.
func message(t *testing.T, url string) webhook.Message {
	t.Helper()
	body, err := webhook.Event{
		JobID: "01M85PGTP08PXFYBRQN7C8XPP7", State: "done", PreviousState: "working",
		Timestamp: time.Date(2026, 11, 24, 2, 35, 22, 192988000, time.UTC), Model: "qwen3:30b", Attempt: 1, Sequence: 3,
		Result: json.RawMessage(`{"text":"Grüße <b>&</b> 你好 \u2028 \\ 😀","n":1.0e+2, "big":12345678901234567890}`),
	}.MarshalJSON()
	require.NoError(t, err)
	return webhook.Message{URL: url, ID: "01M85PGTP08PXFYBRQN7C8XPP7-3", Body: body, Attempt: 1}
}
