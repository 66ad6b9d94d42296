package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// logs is a logger that keeps what it was given.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// records returns what was logged at a level.
func (l *logs) records(t *testing.T, level slog.Level) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(l.String()) {
		var r map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		if r["level"] == level.String() {
			list = append(list, r)
		}
	}
	return list
}

// newDispatcher returns a Dispatcher that retries after a millisecond and
// more, and that has to be done when the test ends.
func newDispatcher(t *testing.T, secret string, l *logs) *webhook.Dispatcher {
	t.Helper()
	d := webhook.NewDispatcher(secret, l.logger())
	d.SetBaseDelay(time.Millisecond)
	t.Cleanup(func() { wait(t, d) })
	return d
}

// wait waits until d is done with all events.
func wait(t *testing.T, d *webhook.Dispatcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, d.Close(ctx))
}

func event(job, state string) webhook.Event {
	return webhook.Event{JobID: job, State: state, PreviousState: "queued", Timestamp: time.Unix(1_800_000_000, 0), Model: "m", Attempt: 1}
}

func TestFire(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	l := &logs{}
	d := newDispatcher(t, "a secret", l)
	d.Fire(r.URL+"/hook", ended())
	wait(t, d)

	want, err := ended().MarshalJSON()
	require.NoError(t, err)
	require.Len(t, r.requests(), 1)
	got := r.requests()[0]
	require.Equal(t, "POST", got.method)
	require.Equal(t, "/hook", got.path)
	require.Equal(t, string(want), got.body)
	require.True(t, webhook.VerifySignature([]byte(got.body), got.header.Get("X-Foreman-Signature"), "a secret"))
	require.Regexp(t, `^msg_[A-Z2-7]{26}$`, got.header.Get("webhook-id"))
	require.Len(t, l.records(t, slog.LevelDebug), 1)
	require.Empty(t, l.records(t, slog.LevelWarn))
	require.Empty(t, l.records(t, slog.LevelError))
}

func TestFireDoesNotBlock(t *testing.T) {
	release := make(chan struct{})
	r := listen(t, func(http.ResponseWriter, *http.Request) { <-release })
	d := newDispatcher(t, "", &logs{})
	for i := range 20 {
		d.Fire(r.URL, event(fmt.Sprint(i%10), "done"))
	}
	close(release) // not reached if Fire waited
	wait(t, d)
	require.Len(t, r.requests(), 20)
}

func TestFireKeepsACopy(t *testing.T) {
	release := make(chan struct{})
	r := listen(t, func(http.ResponseWriter, *http.Request) { <-release })
	d := newDispatcher(t, "", &logs{})
	d.Fire(r.URL, event("1", "working"))
	e := event("1", "done")
	e.Result = json.RawMessage(`"before"`)
	d.Fire(r.URL, e)
	copy(e.Result, `"after!"`)
	close(release)
	wait(t, d)
	require.Contains(t, r.bodies()[1], `"result":"before"`)
}

func TestFireRetries(t *testing.T) {
	for name, c := range map[string]struct {
		codes    []int
		attempts int
		levels   map[slog.Level]int
	}{
		"at once":                      {[]int{200}, 1, map[slog.Level]int{slog.LevelDebug: 1}},
		"after two failures":           {[]int{500, 404, 202}, 3, map[slog.Level]int{slog.LevelWarn: 2, slog.LevelDebug: 1}},
		"at the last attempt":          {[]int{500, 500, 500, 500, 500, 204}, 6, map[slog.Level]int{slog.LevelWarn: 5, slog.LevelDebug: 1}},
		"never":                        {[]int{500}, 6, map[slog.Level]int{slog.LevelWarn: 5, slog.LevelError: 1}},
		"a redirect is a failure":      {[]int{302}, 6, map[slog.Level]int{slog.LevelWarn: 5, slog.LevelError: 1}},
		"410 ends it":                  {[]int{410}, 1, map[slog.Level]int{slog.LevelError: 1}},
		"410 after a failure":          {[]int{500, 410}, 2, map[slog.Level]int{slog.LevelWarn: 1, slog.LevelError: 1}},
		"Retry-After is not mandatory": {[]int{429, 503, 200}, 3, map[slog.Level]int{slog.LevelWarn: 2, slog.LevelDebug: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, status(c.codes...))
			l := &logs{}
			d := newDispatcher(t, "s", l)
			d.Fire(r.URL, event("1", "done"))
			wait(t, d)
			require.Len(t, r.requests(), c.attempts)
			first := r.requests()[0]
			for _, again := range r.requests() {
				require.Equal(t, first.body, again.body)
				require.Equal(t, first.header.Get("webhook-id"), again.header.Get("webhook-id"))
				require.Equal(t, first.header.Get("X-Foreman-Signature"), again.header.Get("X-Foreman-Signature"))
				require.NotEmpty(t, again.header.Get("webhook-signature"))
			}
			for _, level := range []slog.Level{slog.LevelDebug, slog.LevelWarn, slog.LevelError} {
				require.Len(t, l.records(t, level), c.levels[level], level)
			}
		})
	}
}

func TestFireKeepsOrderWithinAJob(t *testing.T) {
	const jobs, events = 8, 25
	var mu sync.Mutex
	tries := make(map[string]int)
	var got []string
	srv := listen(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := req.Header.Get("webhook-id")
		if tries[id]++; tries[id] == 1 && len(tries)%3 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		got = append(got, req.URL.Path)
	})
	d := newDispatcher(t, "", &logs{})
	for i := range events {
		for j := range jobs {
			d.Fire(fmt.Sprintf("%s/%d/%d", srv.URL, j, i), event(strconv.Itoa(j), "working"))
		}
	}
	wait(t, d)
	next := make([]int, jobs)
	for _, path := range got {
		var job, n int
		_, err := fmt.Sscanf(path, "/%d/%d", &job, &n)
		require.NoError(t, err)
		require.Equal(t, next[job], n, "job %d", job)
		next[job]++
	}
	for _, n := range next {
		require.Equal(t, events, n)
	}
}

func TestFireGoesOnAfterAnEventWasGivenUp(t *testing.T) {
	bad := listen(t, status(http.StatusInternalServerError))
	good := listen(t, status(http.StatusOK))
	d := newDispatcher(t, "", &logs{})
	d.Fire(bad.URL, event("1", "working"))
	d.Fire(good.URL, event("1", "done"))
	wait(t, d)
	require.Len(t, bad.requests(), 6)
	require.Len(t, good.requests(), 1)
	require.True(t, good.requests()[0].at.After(bad.requests()[5].at))
}

func TestFireJobsDoNotWaitForEachOther(t *testing.T) {
	release := make(chan struct{})
	stuck := listen(t, func(http.ResponseWriter, *http.Request) { <-release })
	delivered := make(chan struct{})
	r := listen(t, func(http.ResponseWriter, *http.Request) { close(delivered) })
	d := newDispatcher(t, "", &logs{})
	for i := range 50 {
		d.Fire(stuck.URL, event(fmt.Sprint("stuck", i), "done"))
	}
	d.Fire(r.URL, event("free", "done"))
	select {
	case <-delivered:
	case <-time.After(10 * time.Second):
		t.Error("the free job waited")
	}
	close(release)
	wait(t, d)
}

func TestFireRefusesWhenFull(t *testing.T) {
	release := make(chan struct{})
	r := listen(t, func(http.ResponseWriter, *http.Request) { <-release })
	l := &logs{}
	d := newDispatcher(t, "", l)
	for range webhook.MaxEvents {
		d.Fire(r.URL, event("1", "working"))
	}
	require.Empty(t, l.records(t, slog.LevelError))
	d.Fire(r.URL, event("2", "done"))
	dropped := l.records(t, slog.LevelError)
	require.Len(t, dropped, 1)
	require.Equal(t, "webhook event dropped", dropped[0]["msg"])
	require.Equal(t, "2", dropped[0]["job_id"])
	require.Contains(t, dropped[0]["error"], "1024 events")
	require.Contains(t, dropped[0]["error"], "durable outbox")

	close(release)
	wait(t, d)
	require.Len(t, r.requests(), webhook.MaxEvents)
}

func TestFireRefusesTooManyBytes(t *testing.T) {
	release := make(chan struct{})
	r := listen(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	l := &logs{}
	d := webhook.NewDispatcher("", l.logger())
	d.Fire(r.URL, event("1", "working")) // the others wait behind it
	large := event("1", "done")
	large.Model = strings.Repeat("x", 22<<20)
	d.Fire(r.URL, large)
	d.Fire(r.URL, large)
	require.Empty(t, l.records(t, slog.LevelError))
	d.Fire(r.URL, large)
	require.Len(t, l.records(t, slog.LevelError), 1)
	d.Fire(r.URL, event("1", "done"))
	require.Len(t, l.records(t, slog.LevelError), 1, "there is room for a small one")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, d.Close(ctx), "4 events")
}

func TestFireDropsWhatCannotBeSent(t *testing.T) {
	broken := event("1", "done")
	broken.Result = json.RawMessage(`{`)
	for name, c := range map[string]struct {
		url   string
		event webhook.Event
		msg   string
	}{
		"not JSON":  {"http://127.0.0.1:1/", broken, "webhook event dropped"},
		"no host":   {"http:///", event("1", "done"), "webhook given up"},
		"no scheme": {"127.0.0.1", event("1", "done"), "webhook given up"},
		"empty URL": {"", event("1", "done"), "webhook given up"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			d := newDispatcher(t, "", l)
			d.Fire(c.url, c.event)
			wait(t, d)
			errs := l.records(t, slog.LevelError)
			require.Len(t, errs, 1)
			require.Equal(t, c.msg, errs[0]["msg"])
		})
	}
}

func TestFireLogs(t *testing.T) {
	r := listen(t, status(500, 500, 410))
	l := &logs{}
	d := newDispatcher(t, "signing-key", l)
	e := event("J1", "failed")
	e.Result = json.RawMessage(`"payload"`)
	d.Fire(strings.Replace(r.URL, "http://", "http://me:password@", 1)+"/path?token=query", e)
	wait(t, d)

	warnings := l.records(t, slog.LevelWarn)
	require.Len(t, warnings, 2)
	for i, w := range warnings {
		require.Equal(t, "webhook attempt failed", w["msg"])
		require.Equal(t, "J1", w["job_id"])
		require.Equal(t, "failed", w["state"])
		require.Equal(t, strings.TrimPrefix(r.URL, "http://"), w["host"])
		require.EqualValues(t, i+1, w["attempt"])
		require.EqualValues(t, 500, w["status"])
		require.Contains(t, w["error"], "500 Internal Server Error")
		require.Positive(t, w["retry_in"])
	}
	errs := l.records(t, slog.LevelError)
	require.Len(t, errs, 1)
	require.Equal(t, "webhook given up", errs[0]["msg"])
	require.EqualValues(t, 3, errs[0]["attempt"])
	require.EqualValues(t, 410, errs[0]["status"])
	for _, secret := range []string{"signing-key", "payload", "password", "query", "token", "/path"} {
		require.NotContains(t, l.String(), secret)
	}
}

func TestNewDispatcherWithBrokenSecret(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	l := &logs{}
	d := newDispatcher(t, "whsec_not!base64", l)
	require.Len(t, l.records(t, slog.LevelError), 1)
	require.NotContains(t, l.String(), "not!base64")
	d.Fire(r.URL, event("1", "done"))
	wait(t, d)
	got := r.requests()[0]
	require.True(t, webhook.VerifySignature([]byte(got.body), got.header.Get("X-Foreman-Signature"), "whsec_not!base64"))
	require.NotEmpty(t, got.header.Get("webhook-signature"))
}

func TestNewDispatcherWithoutLoggerAndSecret(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	d := webhook.NewDispatcher("", nil)
	d.Fire(r.URL, event("1", "done"))
	wait(t, d)
	require.Empty(t, r.requests()[0].header.Get("X-Foreman-Signature"))
}

func TestCloseWithNothingToDo(t *testing.T) {
	d := webhook.NewDispatcher("", nil)
	require.NoError(t, d.Close(t.Context()))
	require.NoError(t, d.Close(t.Context()), "twice")
}

func TestCloseRefusesEvents(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	l := &logs{}
	d := newDispatcher(t, "", l)
	wait(t, d)
	d.Fire(r.URL, event("1", "done"))
	require.Contains(t, l.String(), "the dispatcher is closed")
	require.Empty(t, r.requests())
}

func TestCloseAbandons(t *testing.T) {
	reached := make(chan struct{})
	release := make(chan struct{})
	stuck := listen(t, func(http.ResponseWriter, *http.Request) {
		close(reached)
		<-release
	})
	defer close(release)
	failing := listen(t, status(http.StatusInternalServerError))
	fine := listen(t, status(http.StatusOK))
	l := &logs{}
	d := webhook.NewDispatcher("", l.logger())
	d.SetBaseDelay(time.Hour)

	d.Fire(fine.URL, event("1", "done"))
	d.Fire(stuck.URL, event("2", "working")) // in an attempt
	d.Fire(stuck.URL, event("2", "done"))    // behind it
	d.Fire(failing.URL, event("3", "done"))  // between attempts
	<-reached
	require.Eventually(t, func() bool {
		return len(l.records(t, slog.LevelWarn)) == 1 && len(l.records(t, slog.LevelDebug)) == 1
	}, 10*time.Second, time.Millisecond)

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	err := d.Close(ctx)
	require.ErrorIs(t, err, stop)
	require.ErrorContains(t, err, "3 events")
	require.Equal(t, err.Error(), d.Close(t.Context()).Error(), "the same answer again")
	require.Len(t, l.records(t, slog.LevelWarn), 1, "what Close ended did not fail")
	require.Len(t, fine.requests(), 1)
	require.Len(t, failing.requests(), 1)
	require.Len(t, stuck.requests(), 1)
}

func TestFireAndCloseAtOnce(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	l := &logs{}
	d := newDispatcher(t, "", l)
	var fired sync.WaitGroup
	for i := range 20 {
		fired.Go(func() { d.Fire(r.URL, event(strconv.Itoa(i%3), "done")) })
	}
	fired.Go(func() { wait(t, d) })
	fired.Go(func() { wait(t, d) })
	fired.Wait()
	require.Equal(t, 20, len(r.requests())+len(l.records(t, slog.LevelError)), "delivered or reported")
}
