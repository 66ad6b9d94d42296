package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/foreman-go/foreman/webhook"
)

const mostWebhook = 16 << 20 // bytes: a result and inlined artifacts fit in

// receiver is a webhook endpoint that prints a line for each event that it verified,
// in the order in which they come.
type receiver struct {
	secret   string
	verifier *webhook.Verifier
	out      io.Writer
}

func newReceiver(secret string, out io.Writer) (*receiver, error) {
	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{secret}})
	return &receiver{secret: secret, verifier: v, out: out}, err
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostWebhook))
	if err != nil {
		sendProblem(w, http.StatusRequestEntityTooLarge, "too_large", "Too large", "the event cannot be read, or has more than 16 MiB")
		return
	}
	// Both kinds of signature are looked at, to show that both are there.
	if !webhook.VerifySignature(body, r.Header.Get("X-Foreman-Signature"), rc.secret) {
		rc.refuse(w, http.StatusUnauthorized, "X-Foreman-Signature does not match")
		return
	}
	if err := rc.verifier.Verify(r.Header, body); err != nil {
		rc.refuse(w, http.StatusUnauthorized, err.Error())
		return
	}
	var e webhook.Event
	switch {
	case json.Unmarshal(body, &e) != nil:
		rc.refuse(w, http.StatusBadRequest, "not an event")
	case e.PreviousState == "":
		fmt.Fprintf(rc.out, "webhook verified  %s  %s\n", e.JobID, e.State)
	default:
		fmt.Fprintf(rc.out, "webhook verified  %s  %s -> %s\n", e.JobID, e.PreviousState, e.State)
	}
}

func (rc *receiver) refuse(w http.ResponseWriter, status int, why string) {
	fmt.Fprintf(rc.out, "webhook refused   %s\n", why)
	sendProblem(w, status, "webhook_refused", "Webhook refused", why)
}

// lines lets many write to one writer, a line at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
