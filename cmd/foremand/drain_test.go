package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// busyWith submits a job and waits until it runs.
func busyWith(t *testing.T, p *process, body string) string {
	t.Helper()
	id := post(t, p.url+"/jobs", body).job(t).ID
	until(t, p.url+"/jobs/"+id, func(j job) bool { return j.State == "working" })
	return id
}

// closed waits until nothing listens any more.
func closed(t *testing.T, p *process) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, 10*time.Millisecond)
}

// open sends a GET on a connection of its own, and tells when it has been written.
func open(t *testing.T, url string, written chan<- struct{}, headers ...string) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(written) },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

// Whoever waits for what still runs is told how it ended; whoever waits for more is
// let go.
func TestDrain(t *testing.T) {
	p := start(t, "-dev")
	id := busyWith(t, p, `{"model":"echo","prompt":"one two three four five","options":{"delay":"100ms"}}`)
	behind := post(t, p.url+"/jobs", `{"model":"echo","prompt":"another"}`).job(t).ID

	var waited answer
	var waiting sync.WaitGroup
	written := make(chan struct{})
	waiting.Go(func() {
		resp, err := open(t, p.url+"/jobs/"+id, written, "Prefer: wait=30")
		if err != nil {
			return
		}
		defer resp.Body.Close()
		waited.status = resp.StatusCode
		waited.body, _ = io.ReadAll(resp.Body)
	})
	<-written
	// Connections are accepted in order: once this one is answered, the other is.
	resp, err := open(t, p.url+"/jobs/"+behind+"/events", make(chan struct{}))
	require.NoError(t, err)
	defer resp.Body.Close()

	code, err := p.end()
	require.NoError(t, err)
	require.Equal(t, 0, code)
	waiting.Wait()
	require.Equal(t, http.StatusOK, waited.status)
	require.Equal(t, "done", waited.job(t).State)
	events, err := io.ReadAll(resp.Body)
	require.NoError(t, err, "it was ended, not cut")
	require.Contains(t, string(events), `"state":"queued"`)
	require.NotContains(t, string(events), `"state":"working"`, "it was not begun")
}

// A second signal ends what a first one would wait for.
func TestSecondSignal(t *testing.T) {
	p := start(t, "-dev")
	busyWith(t, p, `{"model":"echo","prompt":"one two","options":{"delay":"1m"}}`)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	closed(t, p)
	code, err := p.end()
	require.NoError(t, err)
	require.Equal(t, 1, code)
}
