package foreman_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/transcript"
)

func TestAJobOverHTTP(t *testing.T) {
	g := newGate()
	a := newAPI(t, newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		task.Progress(0.5, "half <of> it")
		if err := g.Run(ctx, task); err != nil {
			return err
		}
		_, err := task.Artifact("out.txt", "text/plain; charset=utf-8", strings.NewReader("hello & <bye>"))
		return errors.Join(err, task.SetResult(map[string]int{"answer": 42}))
	}), foreman.Options{}))

	posted := a.post("/jobs", `{"model":"m","input":{"x":1},"priority":7,"labels":{"team":"blue"},
		"queue_timeout":"1h30m","run_timeout":"90s","max_attempts":2}`).is(http.StatusAccepted)
	posted.golden("submitted")
	self := posted.job().Links["self"]
	require.Equal(t, "/jobs/"+posted.job().JobID, self)
	require.Equal(t, self, posted.header.Get("Location"))
	require.Equal(t, "1", posted.header.Get("Retry-After"))
	require.Equal(t, "no-store", posted.header.Get("Cache-Control"))

	queued := a.get(self).is(http.StatusOK)
	queued.golden("queued")
	require.Equal(t, "1", queued.header.Get("Retry-After"))
	a.get(self + "/artifacts").is(http.StatusOK).golden("artifacts_none")

	start(t, a.f)
	<-g.began
	working := a.get(self).is(http.StatusOK)
	working.golden("working")
	require.Equal(t, "1", working.header.Get("Retry-After"))
	g.end <- nil

	done := a.get(self, "Prefer", "wait=30").is(http.StatusOK)
	done.golden("done")
	require.Empty(t, done.header.Get("Retry-After"))
	a.get(self + "/artifacts").is(http.StatusOK).golden("artifacts")
	a.get("/jobs").is(http.StatusOK).golden("list")
	a.get("/events").is(http.StatusOK).golden("feed")
	a.do("DELETE", self, "").is(http.StatusNoContent)
	a.get(self).fails(http.StatusNotFound, foreman.ErrNotFound).golden("not_found")
}

func TestWhatAJobSaysWhileItWaits(t *testing.T) {
	f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		return errors.New("out of memory")
	}), foreman.Options{MaxAttempts: 2, RetryDelay: time.Hour, MaxRetryDelay: time.Hour, Webhook: foreman.WebhookOptions{Guard: loopback}})
	a := newAPI(t, f)
	a.post("/jobs", `{"model":"m","run_at":"2033-03-03T05:03:03+02:00"}`).is(http.StatusAccepted).golden("run_at")
	hook := newReceiver(t, "")
	start(t, f)
	posted := a.post("/jobs", `{"model":"m","state_webhook_url":"`+hook.URL+`","webhook_events":["queued"]}`).is(http.StatusAccepted).job()
	hook.wait(t, 1)
	for e, err := range f.Watch(t.Context(), status(t, f, parseID(t, posted.JobID)).ID, 0) {
		require.NoError(t, err)
		if e.Sequence == 3 { // queued again
			break
		}
	}
	require.Eventually(t, func() bool { return a.get(posted.Links["self"]).job().Webhook.Pending == 0 }, 30*time.Second, time.Millisecond)
	a.get(posted.Links["self"]).is(http.StatusOK).golden("backoff")
}

func TestETag(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{}))
	self := a.post("/jobs", `{"model":"m"}`).header.Get("Location")
	first := a.get(self).is(http.StatusOK)
	tag := first.header.Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)
	require.Equal(t, "private, no-cache", first.header.Get("Cache-Control"))
	for _, same := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		r := a.get(self, "If-None-Match", same).is(http.StatusNotModified)
		require.Equal(t, tag, r.header.Get("ETag"))
		require.Empty(t, r.body)
	}
	a.get(self, "If-None-Match", `"`+strings.Repeat("0", 32)+`"`).is(http.StatusOK)
	a.post(self+"/cancel", "").is(http.StatusOK)
	changed := a.get(self, "If-None-Match", tag).is(http.StatusOK)
	require.NotEqual(t, tag, changed.header.Get("ETag"))
}

func TestPreferWait(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{DrainTimeout: time.Millisecond})
	a := newAPI(t, f)
	start(t, f)
	t.Run("POST until the end", func(t *testing.T) {
		g.end <- nil
		r := a.post("/jobs", `{"model":"m"}`, "Prefer", "respond-async", "Prefer", `WAIT="30"; x=y`).is(http.StatusOK)
		require.Equal(t, foreman.Done, r.job().State)
		require.Equal(t, "wait=30", r.header.Get("Preference-Applied"))
		require.Equal(t, r.job().Links["self"], r.header.Get("Location"))
		require.Empty(t, r.header.Get("Retry-After"))
		<-g.began
	})
	t.Run("until the time is over", func(t *testing.T) {
		r := a.post("/jobs", `{"model":"m"}`, "Prefer", "wait=1").is(http.StatusAccepted)
		require.Equal(t, foreman.Working, r.job().State)
		require.Equal(t, "wait=1", r.header.Get("Preference-Applied"))
		require.Equal(t, "1", r.header.Get("Retry-After"))
		self := r.job().Links["self"]
		r = a.get(self, "Prefer", "wait=1").is(http.StatusOK)
		require.Equal(t, foreman.Working, r.job().State)
		require.Equal(t, "wait=1", r.header.Get("Preference-Applied"))
		g.end <- nil
		r = a.get(self, "Prefer", "wait=99999999999999999999").is(http.StatusOK)
		require.Equal(t, foreman.Done, r.job().State)
		require.Equal(t, "wait=60", r.header.Get("Preference-Applied"))
		require.Equal(t, "wait=5", a.get(self, "Prefer", "wait=5").header.Get("Preference-Applied"), "it has ended")
	})
	t.Run("a preference that makes no sense", func(t *testing.T) {
		r := a.post("/jobs", `{"model":"m"}`, "Prefer", "wait=soon").is(http.StatusAccepted)
		require.Empty(t, r.header.Get("Preference-Applied"))
	})
}

// A wait is longer than a server lets a request take that does not wait.
func TestPreferWaitOutlastsTheTimeoutsOfTheServer(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	a := serveWith(t, f, func(s *http.Server) {
		s.ReadTimeout, s.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	time.AfterFunc(time.Second, func() { g.end <- nil })
	r := a.post("/jobs", `{"model":"m"}`, "Prefer", "wait=30").is(http.StatusOK)
	require.Equal(t, foreman.Done, r.job().State)
}

func TestCancelRetryDelete(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{MaxAttempts: 1, DrainTimeout: time.Millisecond})
	a := newAPI(t, f)
	submitted := func() string { return a.post("/jobs", `{"model":"m"}`).is(http.StatusAccepted).header.Get("Location") }

	self := submitted()
	a.do("DELETE", self, "").fails(http.StatusConflict, foreman.ErrState)
	a.post(self+"/retry", "").fails(http.StatusConflict, foreman.ErrState)
	r := a.post(self+"/cancel", "").is(http.StatusOK)
	require.Equal(t, foreman.Canceled, r.job().State)
	r.golden("canceled")
	again := a.post(self+"/cancel", "").is(http.StatusOK)
	require.Equal(t, string(r.body), string(again.body), "terminal: unchanged")

	r = a.post(self+"/retry", "").is(http.StatusAccepted)
	require.Equal(t, foreman.Queued, r.job().State)
	require.Equal(t, self, r.header.Get("Location"))
	require.Equal(t, "1", r.header.Get("Retry-After"))

	start(t, f)
	<-g.began
	r = a.post(self+"/cancel", "")
	require.Contains(t, []int{http.StatusAccepted, http.StatusOK}, r.status, "asked to stop, or stopped already")
	require.Equal(t, foreman.Canceled, a.get(self, "Prefer", "wait=30").job().State)
	a.do("DELETE", self, "").is(http.StatusNoContent)
	for _, call := range [][2]string{{"DELETE", self}, {"POST", self + "/cancel"}, {"POST", self + "/retry"}, {"GET", self}, {"GET", self + "/events"}, {"GET", self + "/artifacts"}} {
		a.do(call[0], call[1], "").fails(http.StatusNotFound, foreman.ErrNotFound)
	}

	failed := submitted()
	<-g.began
	g.end <- errors.New("broken")
	r = a.get(failed, "Prefer", "wait=30").is(http.StatusOK)
	require.Equal(t, foreman.Failed, r.job().State)
	r.golden("failed")
	a.post(failed+"/retry", "").is(http.StatusAccepted)
}

// A job that does not stop at once is asked to, and says so.
func TestCancelOfAWorkingJob(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
		close(began)
		<-end
		return errors.New("stopped")
	}), foreman.Options{})
	a := newAPI(t, f)
	start(t, f)
	self := a.post("/jobs", `{"model":"m"}`).header.Get("Location")
	<-began
	r := a.post(self+"/cancel", "").is(http.StatusAccepted)
	r.golden("cancel_requested")
	require.Equal(t, "1", r.header.Get("Retry-After"))
	close(end)
	require.Equal(t, foreman.Canceled, a.get(self, "Prefer", "wait=30").job().State)
}

func TestMethods(t *testing.T) {
	a := newAPI(t, newForeman(t, newGate(), foreman.Options{}))
	self := a.post("/jobs", `{"model":"m"}`).header.Get("Location")
	for path, allow := range map[string]string{
		"/jobs":                "GET, HEAD, POST",
		self:                   "DELETE, GET, HEAD",
		self + "/cancel":       "POST",
		self + "/retry":        "POST",
		self + "/events":       "GET, HEAD",
		self + "/artifacts":    "GET, HEAD",
		self + "/artifacts/x":  "GET, HEAD",
		"/events":              "GET, HEAD",
		"/healthz":             "GET, HEAD",
		"/readyz":              "GET, HEAD",
		"/jobs/not-an-id":      "DELETE, GET, HEAD",
		"/jobs/" + "%2e%2e%2f": "DELETE, GET, HEAD",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"} {
			if strings.Contains(allow, method) {
				continue
			}
			r := a.do(method, path, "").fails(http.StatusMethodNotAllowed, foreman.ErrMethod)
			require.Equal(t, allow, r.header.Get("Allow"), "%s %s", method, path)
			require.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
		}
	}
	for _, path := range []string{"/jobs", self, self + "/events", self + "/artifacts", "/events", "/healthz", "/readyz"} {
		head := a.do("HEAD", path, "").is(http.StatusOK)
		require.Empty(t, head.body)
		if !strings.HasSuffix(path, "/events") {
			get := a.get(path)
			require.Equal(t, get.header.Get("Content-Length"), head.header.Get("Content-Length"))
			require.Equal(t, get.header.Get("ETag"), head.header.Get("ETag"))
		}
	}
	require.Equal(t, "text/event-stream", a.do("HEAD", self+"/events", "").header.Get("Content-Type"))
	require.Equal(t, http.StatusNotFound, a.do("HEAD", "/nothing", "").status)
}

// unreachable is a backend that can be out of reach.
type unreachable struct {
	gate
	down atomic.Bool
}

func (u *unreachable) Check(context.Context) error {
	if u.down.Load() {
		return errors.New("dial tcp secret.internal:11434: connection refused")
	}
	return nil
}

func TestHealth(t *testing.T) {
	b := &unreachable{}
	f := newForeman(t, b, foreman.Options{})
	a := newAPI(t, f)
	a.get("/healthz").is(http.StatusOK).golden("healthz")
	a.get("/readyz").is(http.StatusOK).golden("readyz")
	b.down.Store(true)
	r := a.get("/readyz").fails(http.StatusServiceUnavailable, foreman.ErrBackendDown)
	require.Equal(t, "5", r.header.Get("Retry-After"))
	require.NotContains(t, string(r.body), "secret.internal")
	a.get("/healthz").is(http.StatusOK)
	require.NoError(t, f.Close())
	a.get("/healthz").is(http.StatusOK)
	r = a.get("/readyz").fails(http.StatusServiceUnavailable, foreman.ErrUnavailable)
	require.Equal(t, "5", r.header.Get("Retry-After"))
	a.post("/jobs", `{"model":"m"}`).fails(http.StatusServiceUnavailable, foreman.ErrUnavailable).golden("unavailable")
}

// Whatever goes wrong inside stays there, and is in the log.
func TestInternalErrorsAreLoggedNotTold(t *testing.T) {
	var log transcript.Text
	f := newForeman(t, newGate(), foreman.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	nobody := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Handler().ServeHTTP(w, r.WithContext(foreman.WithCaller(r.Context(), foreman.Caller{})))
	})
	a := serveAt(t, f, nobody)
	a.get("/jobs").fails(http.StatusInternalServerError, "internal").golden("internal")
	require.Contains(t, log.String(), "WithCaller")
}
