package foreman_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// sseEvent is one event of a stream.
type sseEvent struct{ event, id, data string }

// sse reads a stream as it comes.
type sse struct {
	tb    testing.TB
	resp  *http.Response
	lines *bufio.Scanner
}

func (a *api) stream(path string, headers ...string) *sse {
	a.tb.Helper()
	req, err := http.NewRequestWithContext(a.tb.Context(), "GET", a.url+path, http.NoBody)
	require.NoError(a.tb, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := a.c.Do(req)
	require.NoError(a.tb, err)
	a.tb.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(a.tb, http.StatusOK, resp.StatusCode)
	s := &sse{tb: a.tb, resp: resp, lines: bufio.NewScanner(resp.Body)}
	s.lines.Buffer(nil, 1<<20)
	return s
}

// next is the next event that is no comment; ok is false at the end.
func (s *sse) next() (e sseEvent, ok bool) {
	s.tb.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" {
			if e.event != "" {
				return e, true
			}
			continue
		}
		name, value, found := strings.Cut(line, ":")
		require.True(s.tb, found, line)
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.event = value
		case "id":
			e.id = value
		case "data":
			require.True(s.tb, json.Valid([]byte(value)), value)
			e.data = value
		default:
			require.Empty(s.tb, name)
		}
	}
	require.NoError(s.tb, s.lines.Err())
	return e, false
}

// all are the events to the end, in short.
func (s *sse) all() (out []string) {
	s.tb.Helper()
	for e, ok := s.next(); ok; e, ok = s.next() {
		out = append(out, e.short(s.tb))
	}
	return out
}

// short is an event without what differs each time.
func (e sseEvent) short(tb testing.TB) string {
	tb.Helper()
	switch e.event {
	case "state":
		var d struct {
			Sequence      json.Number
			State         string
			PreviousState string `json:"previous_state"`
			Job           *wireJob
		}
		require.NoError(tb, json.Unmarshal([]byte(e.data), &d))
		require.Equal(tb, string(d.Sequence), e.id)
		out := fmt.Sprintf("%s %s>%s", e.id, d.PreviousState, d.State)
		if d.Job != nil {
			require.Equal(tb, d.State, string(d.Job.State))
			out += " with the job"
		}
		return out
	case "progress":
		var d foreman.Progress
		require.NoError(tb, json.Unmarshal([]byte(e.data), &d))
		require.Empty(tb, e.id)
		return fmt.Sprintf("progress %v %s", d.Fraction, d.Message)
	}
	require.Contains(tb, e.id, ":", "to go on from within the output")
	return e.event + " " + e.data
}

func TestStream(t *testing.T) {
	g := newGate()
	f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		if err := g.Run(ctx, task); err != nil {
			return err
		}
		return task.SetResult("the end")
	}), foreman.Options{RetryDelay: time.Millisecond})
	a := newAPI(t, f)
	self := a.post("/jobs", `{"model":"m"}`).header.Get("Location")
	s := a.stream(self + "/events")
	require.Equal(t, "text/event-stream", s.resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", s.resp.Header.Get("Cache-Control"))
	require.Equal(t, "no", s.resp.Header.Get("X-Accel-Buffering"))
	require.Empty(t, s.resp.Header.Get("Content-Length"))
	step := func(want string) {
		t.Helper()
		e, ok := s.next()
		require.True(t, ok)
		require.Equal(t, want, e.short(t))
	}
	step("1 >queued")
	start(t, f)
	task := <-g.began
	step("2 queued>working")
	write := func(p string) { _, _ = task.Write([]byte(p)) }
	write("Hello\n\"w\u00f6rld\" <&>\x00")
	step(`output {"text":"Hello\n\"wörld\" <&>\u0000"}`)
	task.Progress(0.5, "half")
	step("progress 0.5 half")
	write("\xf0\x9f")
	write("\x98")
	task.Progress(0.6, "in the middle of a character")
	step("progress 0.6 in the middle of a character")
	write("\x80!\xe2")
	step(`output {"text":"` + "\U0001F600" + `!"}`)
	write("\x82\xac")
	step(`output {"text":"€"}`)
	write("a\xffb")
	step(`output {"base64":"Yf9i"}`)
	write("ok\xe2\x82")
	step(`output {"text":"ok"}`)
	g.end <- errors.New("once more")
	step(`output {"base64":"4oI="}`) // what nothing will complete
	step("3 working>queued")
	<-g.began
	step("4 queued>working")
	g.end <- nil
	e, ok := s.next()
	require.True(t, ok)
	require.Equal(t, "5 working>done with the job", e.short(t))
	var last struct {
		JobID     string `json:"job_id"`
		Timestamp time.Time
		Model     string
		Attempt   int
		Job       wireJob
	}
	require.NoError(t, json.Unmarshal([]byte(e.data), &last))
	require.Equal(t, self, "/jobs/"+last.JobID)
	require.Equal(t, "m", last.Model)
	require.Equal(t, 2, last.Attempt)
	require.JSONEq(t, `"the end"`, string(last.Job.Result))
	_, ok = s.next()
	require.False(t, ok)

	t.Run("after the end", func(t *testing.T) {
		a.tb = t
		states := []string{"1 >queued", "2 queued>working", "3 working>queued", "4 queued>working", "5 working>done with the job"}
		require.Equal(t, states, a.stream(self+"/events").all())
		require.Equal(t, states[3:], a.stream(self+"/events?after=3").all())
		require.Equal(t, states[3:], a.stream(self+"/events", "Last-Event-ID", "3").all())
		require.Equal(t, states[4:], a.stream(self+"/events?after=1", "Last-Event-ID", "4").all(), "a reconnect repeats the query")
		a.get(self + "/events?after=5").is(http.StatusNoContent)
		a.get(self+"/events", "Last-Event-ID", "7").is(http.StatusNoContent)
	})
}

// A retry goes on where the stream of the first end has ended.
func TestStreamGoesOnAfterARetry(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{DrainTimeout: time.Millisecond})
	a := newAPI(t, f)
	self := a.post("/jobs", `{"model":"m"}`).header.Get("Location")
	a.post(self+"/cancel", "").is(http.StatusOK)
	require.Equal(t, []string{"1 >queued", "2 queued>canceled with the job"}, a.stream(self+"/events").all())
	a.post(self+"/retry", "").is(http.StatusAccepted)
	s := a.stream(self+"/events", "Last-Event-ID", "1")
	for _, want := range []string{"2 queued>canceled", "3 canceled>queued"} {
		e, ok := s.next()
		require.True(t, ok)
		require.Equal(t, want, e.short(t), "an end that was undone is not the end")
	}
	a.post(self+"/cancel", "").is(http.StatusOK)
	require.Equal(t, []string{"4 queued>canceled with the job"}, s.all())
}

// Whoever reads too slowly is told that there is more.
func TestStreamWithAGap(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	a := newAPI(t, f)
	start(t, f)
	self := a.post("/jobs", `{"model":"m"}`).header.Get("Location")
	task := <-g.began
	s := a.stream(self + "/events")
	for range 2 {
		_, ok := s.next()
		require.True(t, ok)
	}
	for range 1000 { // more than sockets hold
		_, _ = task.Write([]byte(strings.Repeat("x", 60<<10)))
	}
	g.end <- nil
	all := s.all()
	require.Contains(t, strings.Join(all, "\n"), `gap {"missing":`)
	require.Equal(t, "3 working>done with the job", all[len(all)-1])
}

func TestStreamOverHTTP2(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	s := httptest.NewUnstartedServer(f.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	a := &api{tb: t, f: f, url: s.URL, c: s.Client()}
	id := submit(t, f, foreman.Spec{})
	<-g.began
	stream := a.stream("/jobs/" + id.String() + "/events")
	require.Equal(t, 2, stream.resp.ProtoMajor)
	_, ok := stream.next()
	require.True(t, ok, "before the end")
	g.end <- nil
	require.Equal(t, []string{"2 queued>working", "3 working>done with the job"}, stream.all())
}

func TestStreamOutlastsTheTimeoutsOfTheServer(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	a := serveWith(t, f, func(s *http.Server) {
		s.ReadTimeout, s.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	s := a.stream("/jobs/" + submit(t, f, foreman.Spec{}).String() + "/events")
	time.AfterFunc(time.Second, func() { g.end <- nil })
	require.Len(t, s.all(), 3)
}

// A stream that has nothing to tell says so, and ends with its request or Close.
func TestStreamKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForeman(t, newGate(), foreman.Options{})
		id := submit(t, f, foreman.Spec{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/jobs/"+id.String()+"/events", http.NoBody))
		require.True(t, w.Flushed)
		require.Equal(t, 4, strings.Count(w.Body.String(), ":\n\n"), "at the beginning and every 15 s")
	})
}

func TestStreamEndsWithItsJobOrItsForeman(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	a := newAPI(t, f)
	id := submit(t, f, foreman.Spec{})
	s := a.stream("/jobs/" + id.String() + "/events")
	_, ok := s.next()
	require.True(t, ok)
	require.NoError(t, f.Close())
	_, ok = s.next()
	require.False(t, ok)
}

// deadlines is a response that nobody reads.
type deadlines struct {
	*httptest.ResponseRecorder
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func (d *deadlines) FlushError() error {
	time.Sleep(time.Until(d.write))
	return context.DeadlineExceeded
}

func TestStreamGivesUpOnWhoeverDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForeman(t, newGate(), foreman.Options{})
		id := submit(t, f, foreman.Spec{})
		begun := time.Now()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/jobs/"+id.String()+"/events", http.NoBody)
		f.Handler().ServeHTTP(&deadlines{ResponseRecorder: httptest.NewRecorder()}, r)
		require.Equal(t, 30*time.Second, time.Since(begun))
	})
}
