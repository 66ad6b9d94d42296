package ollama_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

func TestSyncIsAsDirect(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{Now: fixed, Models: map[string]ollamatest.Behavior{
		"llama3": {}, "long": {Tokens: 2000}, "repeats": {End: ollamatest.Repeat, EndAfter: 1}, "dies": {End: ollamatest.Death, EndAfter: 1},
		"busy": {Status: 503, Body: `{"error":"server busy, please try again.  maximum pending requests exceeded"}`},
	}}})
	for _, c := range []struct{ name, method, body string }{
		{"stream", "POST", chat("llama3", "a <b> c")},
		{"in one piece", "POST", `{"stream":false,"model":"llama3","messages":[{"role":"user","content":"a b c"}]}`},
		{"in one piece, chunked", "POST", `{"stream":false,"model":"long","messages":[{"role":"user","content":"a b c"}]}`},
		{"white space and unknown members", "POST", "\n{ \"x\" : [1e400],\n\"model\" : \"llama3\", \"messages\":[{\"role\":\"user\",\"content\":\"\\u2603\"}]}\n\n"},
		{"more than one value", "POST", chat("llama3", "a") + "garbage"},
		{"webhook that nobody will call", "POST", `{"state_webhook_url":"http://127.0.0.1:1/","model":"llama3","messages":[{"role":"user","content":"a"}]}`},
		{"load", "POST", `{"model":"llama3"}`},
		{"unload", "POST", `{"model":"llama3","keep_alive":0}`},
		{"repeats itself", "POST", chat("repeats", "a b")},
		{"dies", "POST", chat("dies", "a b")},
		{"busy", "POST", chat("busy", "a b")},
		{"unknown model", "POST", chat("x", "a")},
		{"no model", "POST", `{"messages":[]}`},
		{"empty model", "POST", `{"model":""}`},
		{"wrong type of model", "POST", `{"model":7}`},
		{"wrong type of messages", "POST", `{"model":"llama3","messages":7}`},
		{"wrong option", "POST", `{"model":"llama3","options":{"num_ctx":"x"}}`},
		{"malformed", "POST", `{"model":"llama3",}`},
		{"cut", "POST", `{"model":"llama3"`},
		{"no object", "POST", `[]`},
		{"no body", "POST", ``},
		{"GET", "GET", ``},
		{"DELETE", "DELETE", `{"model":"llama3"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(r.model.Requests("/api/chat"))
			direct := call(t.Context(), c.method, r.model.URL()+"/api/chat", c.body)
			got := call(t.Context(), c.method, r.front.URL+"/api/chat", c.body)
			require.NoError(t, direct.err)
			require.NoError(t, got.err)
			require.Equal(t, direct.status, got.status)
			require.Equal(t, direct.body, got.body)
			require.Equal(t, direct.transferEncoding, got.transferEncoding)
			direct.header.Del("Date")
			for _, own := range []string{"Date", "X-Foreman-Queue-Position", "X-Foreman-Wait"} {
				got.header.Del(own)
			}
			require.Equal(t, direct.header, got.header)

			sent := r.model.Requests("/api/chat")[before:]
			require.Len(t, sent, 2)
			require.Equal(t, string(sent[0].Body), string(sent[1].Body))
			require.Equal(t, sent[0].Host, sent[1].Host)
			sent[1].Header.Del("Connection") // is between neighbors
			require.Equal(t, sent[0].Header, sent[1].Header)
		})
	}
}

func TestSyncFromForeignPages(t *testing.T) {
	r := newRig(t, setUp{})
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.front.URL+"/api/chat", strings.NewReader(chat("llama3", "a")))
	require.NoError(t, err)
	req.Host = "models.example.com"
	req.Header.Set("Origin", "https://example.com")
	req.Header.Set("X-Forwarded-For", "203.0.113.7")
	w := httptest.NewRecorder()
	r.front.Config.Handler.ServeHTTP(w, req)
	require.Equal(t, 200, w.Code)
	sent := r.model.Requests("/api/chat")[0]
	require.Equal(t, strings.TrimPrefix(r.model.URL(), "http://"), sent.Host)
	require.NotContains(t, sent.Header, "Origin")
	require.NotContains(t, sent.Header, "X-Forwarded-For")
}

func TestOtherPaths(t *testing.T) {
	r := newRig(t, setUp{})
	for _, path := range []string{"/api/nothing", "/api//pull", "/api/x/../pull", "/v1", "/v1/models/", "/api/chat/x"} {
		a := call(t.Context(), "POST", r.front.URL+path, `{}`)
		require.Equal(t, 404, a.status)
		require.Equal(t, "404 page not found", a.body)
		require.Equal(t, "text/plain", a.header.Get("Content-Type"))
		require.Empty(t, r.model.Requests(path))
	}
}

func TestContextEndsWhileWaiting(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "/api/chat", strings.NewReader(chat("llama3", "a")))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r.front.Config.Handler.ServeHTTP(w, req)
	require.Equal(t, 499, w.Code)
	require.JSONEq(t, `{"error":"request canceled"}`, w.Body.String())
	close(step)
	require.Equal(t, 200, (<-holder).status)
}

func TestBodyTooLarge(t *testing.T) {
	r := newRig(t, setUp{handler: &ollama.HandlerOptions{MaxBody: 100}})
	a := call(t.Context(), "POST", r.front.URL+"/api/chat", chat("llama3", strings.Repeat("a", 100)))
	require.Equal(t, 413, a.status)
	require.JSONEq(t, `{"error":"request body too large: at most 100 bytes are accepted"}`, a.body)
	require.Empty(t, r.model.Requests("/api/chat"))
}

func TestTokensComeAsTheyAreGenerated(t *testing.T) {
	step := make(chan struct{}, 1)
	r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}}})
	step <- struct{}{}
	resp := begin(t, r, chat("llama3", "a b"))
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `"content":"a"`)
	close(step) // only now is there another token
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `"content":" b"`)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `"done":true`)
	require.False(t, lines.Scan())
	require.NoError(t, lines.Err())
}

func TestJobsAndCallersTakeTurns(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{
		"a": {TokenDelay: time.Millisecond}, "b": {TokenDelay: time.Millisecond},
	}}})
	var callers []<-chan answer
	for i := range 6 {
		model := "ab"[i%2 : i%2+1]
		submit(t, r.f, model, `{"prompt":"one two three"}`)
		callers = append(callers, goCall(t.Context(), "POST", r.front.URL+"/api/chat", chat(model, "one two three")))
	}
	for _, c := range callers {
		a := <-c
		require.NoError(t, a.err)
		require.Equal(t, 200, a.status)
	}
	wait(t, r.model, func(s ollamatest.Stats) bool {
		return len(asked(r.model, "/api/chat"))+len(asked(r.model, "/api/generate")) == 12 && s.InFlight == 0
	})
	require.Equal(t, 1, r.model.Stats().MaxInFlight)
	require.Less(t, r.model.Stats().Loads, 7, "though they came in turns of two models")
}

func TestIdenticalCallsAreTwoCalls(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{Now: fixed}})
	one := goCall(t.Context(), "POST", r.front.URL+"/api/chat", chat("llama3", "a b"))
	two := goCall(t.Context(), "POST", r.front.URL+"/api/chat", chat("llama3", "a b"))
	first, second := <-one, <-two
	require.NoError(t, first.err)
	require.Equal(t, first.body, second.body)
	require.Len(t, r.model.Requests("/api/chat"), 2)
}

// holding is a rig whose only slot is taken by a caller until the step is made.
func holding(t *testing.T, s setUp) (r *rig, step chan struct{}, holder <-chan answer, hangUp context.CancelFunc) {
	step = make(chan struct{})
	s.model = &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}}
	r = newRig(t, s)
	ctx, cancel := context.WithCancel(limited(t))
	holder = goCall(ctx, "POST", r.front.URL+"/api/chat", chat("llama3", "a b c"))
	step <- struct{}{}
	return r, step, holder, cancel
}

func TestCallerHangsUpWhileAnswered(t *testing.T) {
	r, step, holder, hangUp := holding(t, setUp{})
	next := goCall(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "next"))
	hangUp()
	require.ErrorIs(t, (<-holder).err, context.Canceled)
	wait(t, r.model, func(s ollamatest.Stats) bool { return s.Aborted == 1 })
	close(step)
	require.Contains(t, (<-next).body, `"content":"next"`)
}

func TestCallerHangsUpWhileWaiting(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{foreman: &foreman.Options{MaxWaiting: 1}})
	somebodyWaits := func() bool { // tries to wait itself, which only one can
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := r.f.Do(ctx, foreman.Spec{Model: "llama3"}, func(context.Context, foreman.Turn) error { return nil })
		require.Error(t, err)
		return errors.Is(err, foreman.ErrBusy)
	}
	ctx, hangUp := context.WithCancel(limited(t))
	defer hangUp()
	var waiting <-chan answer
	for waits := false; !waits; waits = somebodyWaits() {
		if waiting == nil {
			waiting = goCall(ctx, "POST", r.front.URL+"/api/chat", chat("llama3", "never"))
		}
		select {
		case a := <-waiting: // turned away while the test tried to wait
			require.Equal(t, 503, a.status)
			waiting = nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	hangUp()
	require.ErrorIs(t, (<-waiting).err, context.Canceled)
	require.Eventually(t, func() bool { return !somebodyWaits() }, 20*time.Second, time.Millisecond)
	close(step)
	require.Equal(t, 200, (<-holder).status)
	require.Len(t, r.model.Requests("/api/chat"), 1)
}

func TestTooManyWait(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{foreman: &foreman.Options{MaxWaiting: 1}})
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a")) }()
	}
	a := <-answers
	require.Equal(t, 503, a.status)
	require.Equal(t, `{"error":"server busy, please try again.  maximum pending requests exceeded: this would be place 2 in the queue, try again in 5s"}`, a.body)
	require.Equal(t, "5", a.header.Get("Retry-After"))
	close(step)
	require.Equal(t, 200, (<-answers).status)
	require.Equal(t, 200, (<-holder).status)
}

func TestServerCutsTheStream(t *testing.T) {
	r := newRig(t, setUp{model: &ollamatest.Options{Hook: func(q ollamatest.Request, b *ollamatest.Behavior) {
		if strings.Contains(string(q.Body), "cut") {
			b.End, b.EndAfter = ollamatest.Cut, 2
		}
	}}})
	a := call(t.Context(), "POST", r.front.URL+"/api/chat", chat("llama3", "cut this here"))
	require.Equal(t, 200, a.status)
	require.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
	require.Len(t, strings.Split(strings.TrimSpace(a.body), "\n"), 2)
	a = call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "not this"))
	require.NoError(t, a.err, "the slot is free again")
	require.Equal(t, 200, a.status)
}

func TestServerIsDown(t *testing.T) {
	r := newRig(t, setUp{})
	r.model.Close()
	for _, body := range []string{chat("llama3", "a"), ``} {
		a := call(limited(t), "POST", r.front.URL+"/api/chat", body)
		require.Equal(t, 502, a.status)
		require.JSONEq(t, `{"error":"cannot reach the model server at `+r.model.URL()+`: is it running?"}`, a.body)
	}
}

func TestShutdown(t *testing.T) {
	step := make(chan struct{}, 1)
	r := newRig(t, setUp{
		model:   &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}},
		foreman: &foreman.Options{DrainTimeout: time.Millisecond},
	})
	step <- struct{}{}
	resp := begin(t, r, chat("llama3", "a b c"))
	waiting := goCall(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a"))
	r.stop()
	_, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "the call did not end in time")
	require.Equal(t, 503, (<-waiting).status)
	a := call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a"))
	require.Equal(t, 503, a.status)
	require.Equal(t, "5", a.header.Get("Retry-After"))
	require.JSONEq(t, `{"error":"server shutting down, please try again"}`, a.body)
}

// begin makes a call, and returns when the answer begins.
func begin(t *testing.T, r *rig, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(limited(t), "POST", r.front.URL+"/api/chat", strings.NewReader(body))
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestShutdownBeforeTheFirstToken(t *testing.T) {
	r := newRig(t, setUp{
		model:   &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Step: make(chan struct{})}}},
		foreman: &foreman.Options{DrainTimeout: time.Millisecond},
	})
	waiting := goCall(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a"))
	wait(t, r.model, func(ollamatest.Stats) bool { return len(asked(r.model, "/api/chat")) == 1 })
	r.stop()
	a := <-waiting
	require.Equal(t, 503, a.status)
	require.JSONEq(t, `{"error":"server shutting down, please try again"}`, a.body)
}

func TestCallerThatTakesNothing(t *testing.T) {
	word := strings.Repeat("a", 64<<10)
	r := newRig(t, setUp{
		model:   &ollamatest.Options{Models: map[string]ollamatest.Behavior{"llama3": {Tokens: 10_000}, "other": {}}},
		handler: &ollama.HandlerOptions{WriteTimeout: 50 * time.Millisecond},
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.front.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.front.URL+"/api/chat", strings.NewReader(chat("llama3", word)))
	require.NoError(t, err)
	require.NoError(t, req.Write(conn)) // and nothing is read
	wait(t, r.model, func(ollamatest.Stats) bool { return len(asked(r.model, "/api/chat")) == 1 })

	a := call(limited(t), "POST", r.front.URL+"/api/chat", chat("other", "a b"))
	require.NoError(t, a.err)
	require.Equal(t, 200, a.status)
	wait(t, r.model, func(s ollamatest.Stats) bool { return s.Aborted == 1 })
}

// The limit on writes must not stay on the connection.
func TestConnectionIsUsedAgain(t *testing.T) {
	const limit = 20 * time.Millisecond
	r := newRig(t, setUp{handler: &ollama.HandlerOptions{WriteTimeout: limit}})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.front.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	post := func(path string) int {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.front.URL+path, strings.NewReader(chat("llama3", "a")))
		require.NoError(t, err)
		require.NoError(t, req.Write(conn))
		resp, err := http.ReadResponse(in, req)
		require.NoError(t, err)
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode
	}
	require.Equal(t, 200, post("/api/chat"))
	<-time.After(2 * limit)
	require.Equal(t, 404, post("/elsewhere"))
}
