package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const slow = `{"model":"echo","prompt":"one two","options":{"delay":"10s"}}`

func TestSlots(t *testing.T) {
	p := start(t, "-dev", "-slots", "2", "-per-slot", "2")
	for _, model := range []string{"echo", "echo", "echo:latest", "echo:latest"} {
		busyWith(t, p, strings.Replace(slow, "echo", model, 1))
	}
	post(t, p.url+"/jobs", slow)
	var list struct{ Jobs []job }
	require.NoError(t, json.Unmarshal(get(t, p.url+"/jobs?state=working").body, &list))
	require.Len(t, list.Jobs, 4, "the fifth waits")
}

func TestRetention(t *testing.T) {
	p := start(t, "-dev", "-job-ttl", "1h", "-artifact-ttl", "1ms")
	a := post(t, p.url+"/jobs", hello, "Prefer: wait=10")
	var times struct {
		FinishedAt time.Time `json:"finished_at"`
		ExpiresAt  time.Time `json:"expires_at"`
	}
	require.NoError(t, json.Unmarshal(a.body, &times))
	require.Equal(t, time.Hour, times.ExpiresAt.Sub(times.FinishedAt))
	id := a.job(t).ID
	require.Eventually(t, func() bool {
		a, err := send(http.MethodGet, p.url+"/jobs/"+id+"/artifacts/completion", "")
		return err == nil && a.status == http.StatusGone
	}, patience, 20*time.Millisecond)

	p = start(t, "-dev", "-job-ttl", "0")
	require.NotContains(t, string(post(t, p.url+"/jobs", hello, "Prefer: wait=10").body), "expires_at")
}

func TestLinks(t *testing.T) {
	hook := newReceiver(t)
	p := start(t, "-dev", "-public-url", "https://jobs.example.com/x/", "-trust-forwarded", "-webhook-secret", crashSecret)
	a := post(t, p.url+"/jobs", `{"model":"echo","prompt":"x","options":{"artifact_bytes":262145},"webhook_events":["done"],"state_webhook_url":"`+hook.URL+`"}`,
		"X-Forwarded-Prefix: /queue")
	id := a.job(t).ID
	require.Equal(t, "/queue/jobs/"+id, a.header.Get("Location"))
	require.Eventually(t, func() bool { return hook.count() == 1 }, patience, 10*time.Millisecond)
	require.Contains(t, string(hook.got[0].Artifacts), `"https://jobs.example.com/x/jobs/`+id+`/artifacts/blob"`)
}

func TestWebhookAllow(t *testing.T) {
	const body = `{"model":"m","prompt":"x","state_webhook_url":"http://127.0.0.1:9000/hook"}`
	p := start(t, "-ollama", "127.0.0.1:1")
	a := post(t, p.url+"/jobs", body)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, string(a.body), `"type":"webhook_refused"`)
	require.Contains(t, string(a.body), "127.0.0.0/8: loopback")
	require.Contains(t, string(a.body), "(WebhookOptions.Guard.Prefixes; in foremand, -webhook-allow or -webhook-allow-hosts)")
	smtp := strings.Replace(body, "127.0.0.1:9000", "127.0.0.1:25", 1)
	a = post(t, p.url+"/jobs", smtp)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, string(a.body), "(WebhookOptions.Guard.Ports; in foremand, -webhook-ports)")

	p = start(t, "-ollama", "127.0.0.1:1", "-webhook-allow", "127.0.0.0/8", "-webhook-ports", "25")
	require.Equal(t, http.StatusAccepted, post(t, p.url+"/jobs", smtp).status)

	p = start(t, "-ollama", "127.0.0.1:1", "-webhook-allow-hosts", "127.0.0.1")
	require.Equal(t, http.StatusAccepted, post(t, p.url+"/jobs", body).status)

	p = start(t, "-ollama", "127.0.0.1:1", "-webhook-allow", "127.0.0.0/8")
	require.Equal(t, http.StatusAccepted, post(t, p.url+"/jobs", body).status)

	own := strings.Replace(body, "http://127.0.0.1:9000", p.url, 1)
	a = post(t, p.url+"/jobs", own)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	const listens = "this program itself listens there; no option allows it"
	require.Contains(t, string(a.body), listens)

	// Nor does a check reach it, with which anybody could have it ask itself.
	a = post(t, p.url+"/webhooks/check", `{"url":"`+p.url+`/jobs"}`)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.Contains(t, string(a.body), `"allowed":false`)
	require.Contains(t, string(a.body), listens)
	require.NotContains(t, string(a.body), `"attempt"`, "nothing is sent")
}

func TestLogFormat(t *testing.T) {
	p := start(t, "-dev", "-log-format", "json")
	code, err := p.end()
	require.NoError(t, err)
	require.Equal(t, 0, code)
	for line := range strings.Lines(p.stderr.String()) {
		require.True(t, json.Valid([]byte(line)), line)
	}
	require.Contains(t, p.stderr.String(), `"msg":"foremand listens"`)
}
