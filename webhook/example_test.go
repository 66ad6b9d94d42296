package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/foreman-go/foreman/webhook"
)

// A receiver checks who sent the body before it reads it, and answers at once.
func ExampleVerifySignature() {
	const secret = "It's a Secret to Everybody"
	receiver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "body too large", http.StatusRequestEntityTooLarge)
			return
		}
		if !webhook.VerifySignature(body, r.Header.Get("X-Foreman-Signature"), secret) {
			http.Error(w, "wrong signature", http.StatusUnauthorized)
			return
		}
		var e webhook.Event
		if err := json.Unmarshal(body, &e); err != nil {
			http.Error(w, "not an event", http.StatusBadRequest)
			return
		}
		fmt.Println(e.JobID, "is", e.State)
	})

	body := `{"job_id":"01JD3Z8W9K6T5QF2V7N4X1B0CG","state":"done"}`
	for _, signature := range []string{
		webhook.Sign([]byte(body), secret),
		webhook.Sign([]byte(body), "a guess"),
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		r.Header.Set("X-Foreman-Signature", signature)
		receiver.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 01JD3Z8W9K6T5QF2V7N4X1B0CG is done
	// 200
	// 401
}

// The whole of a receiver, but for what it does. While a secret is replaced it
// knows both.
func ExampleVerifier() {
	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{"the new secret", "the old secret"}})
	if err != nil {
		log.Fatal(err)
	}
	receiver := httptest.NewServer(v.Handler(func(_ context.Context, d webhook.Received) error {
		fmt.Println(d.ID, "says that", d.Event.JobID, "is", d.Event.State)
		return nil
	}))
	defer receiver.Close()

	s, err := webhook.NewSender(&webhook.SenderOptions{
		Secret: "the old secret",   // it has not changed yet
		Guard:  webhook.AllowAll(), // it is on loopback
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	out := s.Send(context.Background(), webhook.Message{
		URL: receiver.URL, ID: "job-1_3", Body: []byte(`{"job_id":"job-1","state":"done"}`),
	})
	fmt.Println(out.Result, out.Status)
	// Output:
	// job-1_3 says that job-1 is done
	// delivered 204
}

// A receiver that puts requests away as they come verifies them later, at the time
// at which each was received.
func ExampleVerifier_VerifyAt() {
	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}})
	if err != nil {
		log.Fatal(err)
	}
	header := http.Header{
		"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
		"Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}
	received := time.Unix(1614265333, 0)
	fmt.Println(v.VerifyAt(received, header, []byte(`{"test": 2432232314}`)))
	fmt.Println(errors.Is(v.VerifyAt(received, header, []byte(`{"test": 1}`)), webhook.ErrSignature))
	fmt.Println(errors.Is(v.Verify(header, []byte(`{"test": 2432232314}`)), webhook.ErrTimestamp))
	// Output:
	// <nil>
	// true
	// true
}

// A program without Foreman tells a receiver about its own jobs.
func ExampleDispatcher() {
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(webhook.VerifySignature(body, r.Header.Get("X-Foreman-Signature"), "a secret"))
		fmt.Println(string(body))
	}))
	defer receiver.Close()

	d := webhook.NewDispatcher("a secret", nil)
	d.Fire(receiver.URL, webhook.Event{
		JobID:         "job-1",
		State:         "done",
		PreviousState: "working",
		Timestamp:     time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		Model:         "qwen3:30b",
		Attempt:       1,
		Artifacts: webhook.FormatArtifacts("job-1", []webhook.ArtifactMeta{
			{Name: "film.mp4", ContentType: "video/mp4", Size: 4 << 20},
		}),
	})

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// true
	// {"job_id":"job-1","state":"done","previous_state":"working","timestamp":"2026-11-24T12:00:00Z","model":"qwen3:30b","attempt":1,"artifacts":[{"name":"film.mp4","content_type":"video/mp4","size":4194304,"url":"/jobs/job-1/artifacts/film.mp4"}]}
}

// A caller with its own outbox makes one attempt at a time and writes down
// when the next one is due.
func ExampleSender() {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer receiver.Close()

	guard, err := webhook.NewGuard(&webhook.GuardOptions{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // the receiver is on this machine
	})
	if err != nil {
		log.Fatal(err)
	}
	s, err := webhook.NewSender(&webhook.SenderOptions{
		Secret: "a secret",
		Guard:  guard,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	m := webhook.Message{URL: receiver.URL, ID: "job-1_3", Body: []byte(`{"job_id":"job-1"}`), Attempt: 1}
	out := s.Send(context.Background(), m)
	fmt.Println(out.Result, out.Status, out.Err)
	delay, ok := webhook.DefaultSchedule().Next(m.Attempt, out.RetryAfter, nil)
	fmt.Println(delay, ok)
	// Output:
	// retry 503 webhook: the receiver answered 503 Service Unavailable
	// 1m0s true
}

// URLs that strangers hand in are checked before they are kept.
func ExampleGuard_CheckURL() {
	g, err := webhook.NewGuard(nil) // public addresses only
	if err != nil {
		log.Fatal(err)
	}
	for _, url := range []string{
		"https://example.com/hook",
		"http://169.254.169.254/latest/meta-data/",
		"http://0x7f.1/",
	} {
		fmt.Println(g.CheckURL(url))
	}
	// Output:
	// <nil>
	// webhook: address 169.254.169.254 refused: 169.254.0.0/16: link-local, and the metadata of clouds; to allow it, add it to GuardOptions.Prefixes, or the host to GuardOptions.Hosts
	// webhook: the host "0x7f.1" is not an IP address in its usual form: write IPv4 as four decimal numbers without leading zeros
}
