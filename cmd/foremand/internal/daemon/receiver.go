package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/foreman-go/foreman/webhook"
)

const (
	mostWebhook = 16 << 20 // bytes: a result and inlined artifacts fit in
	tolerance   = 5 * time.Minute
)

// receiver is a webhook endpoint that prints a line for each event that it verified,
// in the order in which they come.
type receiver struct {
	secret string
	out    io.Writer
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostWebhook))
	if err != nil {
		sendProblem(w, http.StatusRequestEntityTooLarge, "too_large", "Too large", "the event cannot be read, or has more than 16 MiB")
		return
	}
	var e webhook.Event
	switch {
	case !webhook.VerifySignature(body, r.Header.Get("X-Foreman-Signature"), rc.secret):
		rc.refuse(w, http.StatusUnauthorized, "X-Foreman-Signature does not match")
	case !rc.standard(r.Header, body):
		rc.refuse(w, http.StatusUnauthorized, "webhook-signature does not match, or webhook-timestamp is not of now")
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

// standard verifies the headers of Standard Webhooks, as its libraries do.
func (rc *receiver) standard(h http.Header, body []byte) bool {
	key := []byte(rc.secret)
	if encoded, ok := strings.CutPrefix(rc.secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return false
		}
	}
	at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", h.Get("Webhook-Id"), at)
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for got := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return true
		}
	}
	return false
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
