package webhooktest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// A sender meets a receiver that is broken, then busy, then well.
func Example() {
	test := func(t testing.TB) {
		r := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{"a secret"}})
		r.Script(webhooktest.Status(500), webhooktest.TooMany(time.Minute))

		s, err := webhook.NewSender(&webhook.SenderOptions{
			Secret: "a secret",
			Guard:  webhook.AllowAll(), // it is on loopback
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		m := webhook.Message{URL: r.URL(), ID: "job-1_3", Body: []byte(`{"job_id":"job-1","state":"done"}`)}
		for range 3 {
			out := s.Send(t.Context(), m)
			fmt.Println(out.Result, out.Status, out.RetryAfter)
		}

		for _, d := range r.Deliveries() {
			fmt.Println(d.ID(), d.Event.State, d.Err)
		}
	}

	runTest(test)
	// Output:
	// retry 500 0s
	// retry 429 1m0s
	// delivered 200 0s
	// job-1_3 done <nil>
	// job-1_3 done <nil>
	// job-1_3 done <nil>
}
