// Package webhooktest has a receiver of webhooks for tests: of senders, which
// have to cope with receivers that are slow, broken or hostile, and of what is
// built on webhooks.
//
// A [Receiver] listens on loopback and keeps all that it gets. It answers 200,
// or 401 to what does not verify, or what a script of [Answer] values says:
//
//	r := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{"a secret"}})
//	r.Script(webhooktest.Status(500), webhooktest.TooMany(time.Second), webhooktest.Reset())
//
// A sender under test has to be allowed to dial 127.0.0.0/8.
package webhooktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/foreman-go/foreman/webhook"
)

// maxBody bounds what is kept of one request.
const maxBody = 64 << 20

// Options says how a [Receiver] verifies and answers. The zero value is fine.
type Options struct {
	// Secrets are those that requests may be signed with. If there are none,
	// requests are not verified.
	Secrets []string
	// Tolerance is that of [webhook.VerifierOptions]. If it is 0, 5 minutes are used.
	Tolerance time.Duration
	// Answer says how a request is answered for which the script has no answer. It
	// may be called by several goroutines at once. If it is nil, OK is used.
	Answer func(d Delivery) Answer
}

// Delivery is one request that a [Receiver] got.
type Delivery struct {
	Time   time.Time // when all of it had been read
	Method string
	Path   string // with the query
	Header http.Header
	Body   []byte
	// Event is what Body holds, or the zero Event if it holds none.
	Event webhook.Event
	// Err is what [webhook.Verifier.Verify] said, or nil if there are no secrets.
	Err error

	// Status is what it was answered with, and Answered is when, which is before the
	// sender can know. Both are zero while it is not answered, and for ever after an
	// Answer such as Hang or Reset. The body of the answer may have broken off.
	Status   int
	Answered time.Time
}

// Accepted reports whether it was answered with a status from 200 to 299.
func (d *Delivery) Accepted() bool { return d.Status >= 200 && d.Status <= 299 }

// ID is the webhook-id: the same for every attempt at one event.
func (d *Delivery) ID() string { return d.Header.Get("Webhook-Id") }

// Receiver is a server that gets webhooks. It is safe for concurrent use.
type Receiver struct {
	answer   func(d Delivery) Answer
	verifier *webhook.Verifier // nil for none
	server   *httptest.Server
	ended    chan struct{} // closed when the test ends

	mu     sync.Mutex
	script []Answer
	got    []Delivery
	more   chan struct{} // closed when there is one more in got, and made anew
}

// NewReceiver starts a Receiver on a free port of 127.0.0.1. It ends with the
// test, as do all answers that it has not finished. The test fails at once if a
// secret is not one; o may be nil.
func NewReceiver(t testing.TB, o *Options) *Receiver {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	r := &Receiver{answer: o.Answer, ended: make(chan struct{}), more: make(chan struct{})}
	if r.answer == nil {
		r.answer = func(Delivery) Answer { return OK() }
	}
	if len(o.Secrets) > 0 {
		v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: o.Secrets, Tolerance: o.Tolerance})
		if err != nil {
			t.Fatal(err)
		}
		r.verifier = v
	}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		close(r.ended)
		r.server.Close()
	})
	return r
}

// URL is where the Receiver listens. It takes requests at any path below.
func (r *Receiver) URL() string { return r.server.URL }

// Script adds answers to give, one for each request, in the order in which the
// requests come. After the last one, Options.Answer has its say.
func (r *Receiver) Script(answers ...Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, answers...)
}

// Deliveries returns the requests so far, in the order in which they came. A
// request is there before it is answered, with a Status of 0.
func (r *Receiver) Deliveries() []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// Wait returns the requests when there are at least n. If ctx ends before, it
// returns those there are, and an error that wraps the cause.
func (r *Receiver) Wait(ctx context.Context, n int) ([]Delivery, error) {
	for {
		r.mu.Lock()
		got, more := slices.Clone(r.got), r.more
		r.mu.Unlock()
		if len(got) >= n {
			return got, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return got, fmt.Errorf("webhooktest: %d of %d requests have come: %w", len(got), n, context.Cause(ctx))
		}
	}
}

// serve keeps a request and answers it.
func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	d := Delivery{Method: req.Method, Path: req.URL.RequestURI(), Header: req.Header.Clone()}
	var err error
	if d.Body, err = io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody)); err != nil {
		// The sender has gone, or sends without end: there is no delivery to keep.
		http.Error(w, "webhooktest: cannot read the body", http.StatusBadRequest)
		return
	}
	d.Time = time.Now()
	if err := json.Unmarshal(d.Body, &d.Event); err != nil {
		d.Event = webhook.Event{}
	}
	a, n := r.keep(&d)
	a.give(&exchange{w: &noting{w, r, n}, req: req, err: d.Err, ended: r.ended})
}

// keep finds the answer to d, verifies d by the clock of that answer, and puts d
// with the others, as the one with the number n.
func (r *Receiver) keep(d *Delivery) (a Answer, n int) {
	if a, n, ok := r.keepScripted(d); ok {
		return a, n
	}
	d.Err = r.verify(d, 0)
	a = r.answer(*d) // without the lock: it may ask the Receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	return a, r.put(d, a)
}

// keepScripted takes the answer and puts d down at once, so that the requests stand
// in the order of the answers.
func (r *Receiver) keepScripted(d *Delivery) (a Answer, n int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.script) == 0 {
		return Answer{}, 0, false
	}
	a = r.script[0]
	r.script = r.script[1:]
	return a, r.put(d, a), true
}

func (r *Receiver) put(d *Delivery, a Answer) (n int) {
	d.Err = r.verify(d, a.clock)
	r.got = append(r.got, *d)
	close(r.more)
	r.more = make(chan struct{})
	return len(r.got) - 1
}

// noting notes the status of the answer to the request with the number n, before it is
// on its way. Every Answer that has a status gives it by WriteHeader.
type noting struct {
	http.ResponseWriter
	r *Receiver
	n int
}

func (w *noting) WriteHeader(status int) {
	w.r.mu.Lock()
	d := &w.r.got[w.n]
	d.Status, d.Answered = status, time.Now()
	w.r.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (w *noting) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// verify says what a receiver finds wrong whose clock is off by so much.
func (r *Receiver) verify(d *Delivery, off time.Duration) error {
	if r.verifier == nil {
		return nil
	}
	if d.Method != http.MethodPost {
		return errors.New("webhooktest: events come by POST")
	}
	return r.verifier.VerifyAt(d.Time.Add(off), d.Header, d.Body)
}
