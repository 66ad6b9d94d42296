package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
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

// Whoever waits for what still runs is told how it ended; whoever waits for more is
// let go.
func TestDrain(t *testing.T) {
	p := start(t, "-dev")
	var waited answer
	var failed error
	var waiting sync.WaitGroup
	waiting.Go(func() {
		waited, failed = send(http.MethodPost, p.url+"/jobs",
			`{"model":"echo","prompt":"one two three four five","options":{"delay":"100ms"}}`, "Prefer: wait=30")
	})
	// A server that shuts down answers the requests that it has begun. This one has been
	// once its job runs, and the next once its headers are here.
	require.Eventually(t, func() bool {
		a, err := send(http.MethodGet, p.url+"/jobs?state=working", "")
		return err == nil && bytes.Contains(a.body, []byte(`"working"`))
	}, patience, 10*time.Millisecond)
	behind := post(t, p.url+"/jobs", `{"model":"echo","prompt":"another"}`).job(t).ID
	resp, err := http.Get(p.url + "/jobs/" + behind + "/events")
	require.NoError(t, err)
	defer resp.Body.Close()

	code, err := p.end()
	require.NoError(t, err)
	require.Equal(t, 0, code)
	waiting.Wait()
	require.NoError(t, failed)
	require.Equal(t, http.StatusOK, waited.status, string(waited.body))
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
