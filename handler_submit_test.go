package foreman_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// inputOf is what the backend gets of a posted job.
func (a *api) inputOf(r *reply) string {
	a.tb.Helper()
	return string(status(a.tb, a.f, parseID(a.tb, r.job().JobID)).Spec.Input)
}

func TestInputIsPassedOnAsItIs(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{}))
	for _, tc := range []struct{ name, body, input string }{
		{"a string", `{"model":"m","input":"a\u00e9\/b"}`, `"a\u00e9\/b"`},
		{"an object with space in it", "{\"model\":\"m\",\n \"input\" : { \"b\" : 1.0e2,\n\"a\":[ ] } }", "{ \"b\" : 1.0e2,\n\"a\":[ ] }"},
		{"a number", `{"input":-0.0,"model":"m"}`, `-0.0`},
		{"at the end", `{"model":"m","input":true}`, `true`},
		{"null", `{"model":"m","input":null}`, `null`},
		{"none", `{"model":"m"}`, `null`},
		{"quotes and brackets in strings", `{"model":"m","input":["}\\\"]",{"\"}":"{"}],"priority":1}`, `["}\\\"]",{"\"}":"{"}]`},
		{"names in other spellings", `{"\u006dodel":"m","inp\u0075t":7}`, `7`},
		{"null for what can be absent", `{"model":"m","input":1,"state_webhook_url":null,"webhook_events":null,"priority":null,"run_at":null,` +
			`"queue_timeout":null,"run_timeout":null,"max_attempts":null,"labels":null}`, `1`},
		{"a prompt", `{"model":"m","prompt":"hi"}`, `{"model":"m","prompt":"hi"}`},
		{
			"the body of a chat", `{"model":"m", "messages":[{"role":"user","content":"\ud83d\ude00"}],"stream":false,"options":{"num_ctx":4096},"keep_alive":-1}` + "\n",
			`{"model":"m", "messages":[{"role":"user","content":"\ud83d\ude00"}],"stream":false,"options":{"num_ctx":4096},"keep_alive":-1}` + "\n",
		},
		{"ours at the beginning", `{ "priority" : 3 , "model":"m","prompt":""}`, `{ "model":"m","prompt":""}`},
		{"ours in the middle", `{"model":"m", "priority":3, "labels":{"a":"b"}, "prompt":"" , "raw":true}`, `{"model":"m", "prompt":"" , "raw":true}`},
		{"ours at the end", `{"model":"m","prompt":"" , "priority":3,"max_attempts":1 }`, `{"model":"m","prompt":"" }`},
		{
			"ours everywhere", `{"priority":1,"model":"m","run_timeout":"1s","prompt":"p","queue_timeout":"1s","webhook_events":[],"state_webhook_url":"http://127.0.0.1/"}`,
			`{"model":"m","prompt":"p"}`,
		},
		{"ours in another spelling", `{"model":"m","prompt":"p","\u0070riority":1}`, `{"model":"m","prompt":"p"}`},
		{"ours further down stay", `{"model":"m","prompt":"p","options":{"priority":1}}`, `{"model":"m","prompt":"p","options":{"priority":1}}`},
		{"null counts as absent, and is ours all the same", `{"model":"m","prompt":"p","labels":null}`, `{"model":"m","prompt":"p"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.body, "127.0.0.1") {
				a := newAPI(t, newForeman(t, newGate(), foreman.Options{Webhook: foreman.WebhookOptions{Guard: loopback}}))
				require.Equal(t, tc.input, a.inputOf(a.post("/jobs", tc.body).is(http.StatusAccepted)))
				return
			}
			r := a.post("/jobs", tc.body, "Content-Type", "application/x-www-form-urlencoded").is(http.StatusAccepted)
			require.Equal(t, tc.input, a.inputOf(r))
		})
	}
}

func TestEveryFieldOfASpec(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{Webhook: foreman.WebhookOptions{Guard: loopback}})
	a := newAPI(t, f)
	r := a.post("/jobs", `{"model":"m\"1","input":1,"state_webhook_url":"http:\/\/127.0.0.1:9000/hook","webhook_events":["done","failed"],"priority":-7,
		"run_at":"2033-03-03T05:03:03+02:00","queue_timeout":"90s","run_timeout":"1h","max_attempts":5,"labels":{"a":"b=c","\u00e9":""}}`).is(http.StatusAccepted)
	s := status(t, f, parseID(t, r.job().JobID)).Spec
	require.Equal(t, `m"1`, s.Model)
	require.Equal(t, "http://127.0.0.1:9000/hook", s.StateWebhookURL)
	require.Equal(t, []foreman.State{foreman.Done, foreman.Failed}, s.WebhookEvents)
	require.Equal(t, -7, s.Priority)
	require.True(t, s.RunAt.Equal(time.Date(2033, 3, 3, 3, 3, 3, 0, time.UTC)))
	require.Equal(t, 90*time.Second, s.QueueTimeout)
	require.Equal(t, time.Hour, s.RunTimeout)
	require.Equal(t, 5, s.MaxAttempts)
	require.Equal(t, map[string]string{"a": "b=c", "é": ""}, s.Labels)
	require.Empty(t, s.Owner)
}

func TestIdempotencyKeyOverHTTP(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{}))
	const body = `{"model":"m","input":1}`
	first := a.post("/jobs", body, "Idempotency-Key", "k-1").is(http.StatusAccepted)
	require.Empty(t, first.header.Get("Idempotency-Replayed"))

	for _, key := range []string{"k-1", `"k-1"`} {
		again := a.post("/jobs", body, "Idempotency-Key", key).is(http.StatusOK)
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
		require.Equal(t, first.job().JobID, again.job().JobID)
	}
	a.post("/jobs", body+" ", "Idempotency-Key", "k-1").fails(http.StatusUnprocessableEntity, foreman.ErrKeyReused).golden("key_reused")
	a.post("/jobs", `{"model":"m","input":2}`, "Idempotency-Key", "k-1").fails(http.StatusUnprocessableEntity, foreman.ErrKeyReused)
	a.post("/jobs", body, "Idempotency-Key", `"k\"1"`).is(http.StatusAccepted)
	a.post("/jobs", body, "Idempotency-Key", `k"1`).is(http.StatusOK)
	a.post("/jobs", body, "Idempotency-Key", strings.Repeat("k", 255)).is(http.StatusAccepted)

	jobs := a.jobs()
	for name, keys := range map[string][]string{
		"empty": {""}, "empty in quotes": {`""`}, "too long": {strings.Repeat("k", 256)}, "not ASCII": {"é"}, "tab": {"a\tb"}, "two": {"a", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			for _, k := range keys {
				headers = append(headers, "Idempotency-Key", k)
			}
			a.post("/jobs", body, headers...).fails(http.StatusBadRequest, foreman.ErrMalformed)
		})
	}
	require.Equal(t, jobs, a.jobs())

	a.post(first.header.Get("Location")+"/cancel", "").is(http.StatusOK)
	again := a.post("/jobs", body, "Idempotency-Key", "k-1").is(http.StatusOK)
	require.Equal(t, foreman.Canceled, again.job().State, "the job as it is now")
	a.do("DELETE", first.header.Get("Location"), "").is(http.StatusNoContent)
	a.post("/jobs", body, "Idempotency-Key", "k-1").is(http.StatusAccepted)
}

func TestSixteenCallersWithOneKey(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{}))
	replies := make([]*reply, 16)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() { replies[i] = a.post("/jobs", `{"model":"m"}`, "Idempotency-Key", "one") })
	}
	wg.Wait()
	accepted := 0
	for _, r := range replies {
		require.Equal(t, replies[0].job().JobID, r.job().JobID)
		if r.status == http.StatusAccepted {
			accepted++
		} else {
			r.is(http.StatusOK)
		}
	}
	require.Equal(t, 1, accepted)
	require.Equal(t, 1, a.jobs())
}

func TestBodyAtItsLimit(t *testing.T) {
	const most = 1 << 20
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{MaxInput: most}))
	ofSize := func(n int) string { return fmt.Sprintf(`{"model":"m","input":"%s"}`, strings.Repeat("x", n-2)) }
	require.Len(t, a.inputOf(a.post("/jobs", ofSize(most)).is(http.StatusAccepted)), most)
	a.post("/jobs", ofSize(most+1)).fails(http.StatusRequestEntityTooLarge, foreman.ErrTooLarge)
	a.post("/jobs", ofSize(most+(64<<10))).fails(http.StatusRequestEntityTooLarge, foreman.ErrTooLarge)
	req, err := http.NewRequestWithContext(t.Context(), "POST", a.url+"/jobs", &endless{})
	require.NoError(t, err)
	resp, err := a.c.Do(req) // without a length: it is read no further than the limit
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	announced, _ := a.raw(t, "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n\r\n")
	require.Equal(t, http.StatusRequestEntityTooLarge, announced, "before any of it has come")
	require.Equal(t, 1, a.jobs())
}

// endless is the beginning of a body that has no end.
type endless struct{ began bool }

func (e *endless) Read(p []byte) (int, error) {
	if !e.began {
		e.began = true
		return copy(p, `{"model":"m","input":"`), nil
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// What is given in links to a webhook is for a receiver who is elsewhere.
func TestLinksInWebhooks(t *testing.T) {
	large := strings.NewReader(strings.Repeat("x", 262_145))
	for _, tc := range []struct{ name, base, want string }{
		{"as in the answer", "", "/api/jobs/%s/artifacts/large"},
		{"as set", "https://jobs.example.com/v1/", "https://jobs.example.com/v1/jobs/%s/artifacts/large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
				_, err := large.Seek(0, 0)
				if err == nil {
					_, err = task.Artifact("large", "", large)
				}
				return err
			}), foreman.Options{BaseURL: tc.base, Webhook: foreman.WebhookOptions{Guard: loopback}})
			hook := newReceiver(t, "")
			a := serveAt(t, f, http.StripPrefix("/api", f.Handler()))
			start(t, f)
			r := a.post("/api/jobs", `{"model":"m","webhook_events":["done"],"state_webhook_url":"`+hook.URL+`"}`).is(http.StatusAccepted)
			require.Equal(t, "/api/jobs/"+r.job().JobID, r.job().Links["self"])
			var arts []wireArtifact
			require.NoError(t, json.Unmarshal(hook.wait(t, 1)[0].Artifacts, &arts))
			require.Equal(t, fmt.Sprintf(tc.want, r.job().JobID), arts[0].URL)
		})
	}
}
