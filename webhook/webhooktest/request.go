package webhooktest

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/foreman-go/foreman/webhook"
)

// NewRequest returns the request that a sender with this secret makes now for e, to
// be given to the handler of a receiver under test:
//
//	w := httptest.NewRecorder()
//	handler.ServeHTTP(w, webhooktest.NewRequest(t, "/webhooks", secret, e))
//
// It was really sent, to a [Receiver], and has all its headers, with a webhook-id of
// its own. The test fails at once if the secret is not one, or e cannot be sent.
func NewRequest(t testing.TB, target, secret string, e webhook.Event) *http.Request {
	t.Helper()
	body, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return send(t, target, secret, webhook.Message{ID: "msg_" + rand.Text(), Body: body})
}

// Again returns the request of another attempt, made now, at the event that req
// holds, which NewRequest has made.
func Again(t testing.TB, secret string, req *http.Request) *http.Request {
	t.Helper()
	body, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, req.RequestURI, secret, webhook.Message{ID: req.Header.Get("Webhook-Id"), Body: b})
}

func send(t testing.TB, target, secret string, m webhook.Message) *http.Request {
	t.Helper()
	s, err := webhook.NewSender(&webhook.SenderOptions{
		Secret: secret,
		Guard:  webhook.AllowAll(), // it goes to the Receiver below
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := NewReceiver(t, nil)
	m.URL = r.URL()
	if out := s.Send(t.Context(), m); out.Err != nil {
		t.Fatal(out.Err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader(m.Body))
	req.Header = r.Deliveries()[0].Header
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Body)), nil }
	return req
}
