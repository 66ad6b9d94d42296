package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
)

const hello = `{"model":"echo","messages":[{"role":"user","content":"hello there"}]}`

// What the first lines of foremand -dev ask to be pasted, word by word.
var pasted = regexp.MustCompile(`^  curl -i (\S+) -d '(.*)'$`)

// TestDev is the scene that foremand -dev promises: a job is accepted at once, three
// verified webhooks tell of it in order, and its result and artifact are there.
func TestDev(t *testing.T) {
	p := start(t, "-dev")
	dir, err := p.line("data directory ")
	require.NoError(t, err)
	require.Contains(t, dir, "foreman-dev-")
	line, err := p.line("  curl -i localhost")
	require.NoError(t, err)
	m := pasted.FindStringSubmatch(line)
	require.NotNil(t, m, line)
	require.Equal(t, strings.Replace(p.url, "http://127.0.0.1", "localhost", 1)+"/jobs", m[1])
	require.Equal(t, strings.TrimSuffix(hello, "}")+`,"state_webhook_url":"`+p.url+`/dev/webhooks"}`, m[2])

	a := post(t, p.url+"/jobs", m[2])
	require.Equal(t, http.StatusAccepted, a.status)
	id := a.job(t).ID
	_, err = ulid.ParseStrict(id)
	require.NoError(t, err)
	require.Equal(t, "/jobs/"+id, a.header.Get("Location"))

	_, err = p.line("webhook verified  " + id + "  working -> done")
	require.NoError(t, err)
	var told []string
	for _, l := range p.lines() {
		if strings.HasPrefix(l, "webhook") {
			told = append(told, l)
		}
	}
	require.Equal(t, []string{
		"webhook verified  " + id + "  queued",
		"webhook verified  " + id + "  queued -> working",
		"webhook verified  " + id + "  working -> done",
	}, told)

	j := get(t, p.url+"/jobs/"+id).job(t)
	require.Equal(t, "done", j.State)
	require.Contains(t, string(j.Result), `"content":"hello there"`)
	require.Contains(t, string(j.Result), `"model":"echo (not a model: repeats its input)"`)
	require.Len(t, j.Artifacts, 1)
	completion := j.Artifacts[0]
	require.Equal(t, "completion", completion.Name)
	require.NotNil(t, completion.Data)
	sum := sha256.Sum256([]byte(*completion.Data))
	require.Equal(t, hex.EncodeToString(sum[:]), completion.SHA256)
	until(t, p.url+"/jobs/"+id, func(j job) bool { return j.Webhook.Delivered == 3 })

	// The first line is the first thing that is said, so that it can be waited for.
	require.Equal(t, "listening on "+p.url, p.lines()[0])
}

func TestWaitForTheEnd(t *testing.T) {
	p := start(t, "-dev")
	a := post(t, p.url+"/jobs", hello, "Prefer: wait=10")
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "wait=10", a.header.Get("Preference-Applied"))
	require.Equal(t, "done", a.job(t).State)

	t.Run("after a passing fault", func(t *testing.T) {
		a := post(t, p.url+"/jobs", `{"model":"echo","prompt":"x","options":{"fail_attempts":1}}`, "Prefer: wait=10")
		require.Equal(t, "done", a.job(t).State)
		require.Equal(t, 2, a.job(t).Attempt)
	})
	t.Run("of a request that is wrong", func(t *testing.T) {
		a := post(t, p.url+"/jobs", `{"model":"echo","prompt":"x","options":{"delay":"soon"}}`, "Prefer: wait=10")
		require.Equal(t, "failed", a.job(t).State)
		require.Equal(t, "backend_rejected", a.job(t).Error.Type)
	})
}

// An artifact of 256 KiB is part of the job; one more byte, and it is fetched.
func TestArtifacts(t *testing.T) {
	p := start(t, "-dev")
	submit := func(size int) (job, []byte) {
		a := post(t, p.url+"/jobs", fmt.Sprintf(`{"model":"echo","prompt":"x","options":{"artifact_bytes":%d}}`, size), "Prefer: wait=10")
		require.Equal(t, http.StatusOK, a.status)
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i)
		}
		return a.job(t), want
	}
	j, want := submit(262144)
	require.Len(t, j.Artifacts, 2)
	blob := j.Artifacts[1]
	require.Equal(t, "blob", blob.Name)
	require.Equal(t, "base64", blob.Encoding)
	require.Empty(t, blob.URL)
	require.NotNil(t, blob.Data)
	data, err := base64.StdEncoding.DecodeString(*blob.Data)
	require.NoError(t, err)
	require.Equal(t, want, data)

	j, want = submit(262145)
	blob = j.Artifacts[1]
	require.Nil(t, blob.Data)
	require.Equal(t, "/jobs/"+j.ID+"/artifacts/blob", blob.URL)
	require.EqualValues(t, 262145, blob.Size)
	a := get(t, p.url+blob.URL)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "application/octet-stream", a.header.Get("Content-Type"))
	require.Equal(t, want, a.body)
	a = get(t, p.url+blob.URL, "Range: bytes=262140-")
	require.Equal(t, http.StatusPartialContent, a.status)
	require.Equal(t, "bytes 262140-262144/262145", a.header.Get("Content-Range"))
	require.Equal(t, want[262140:], a.body)
}

// Callers who wait are answered as Ollama answers.
func TestEchoAsOllama(t *testing.T) {
	p := start(t, "-dev")
	a := post(t, p.url+"/api/chat", hello)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "application/x-ndjson", a.header.Get("Content-Type"))
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], `"content":"hello"`)
	require.Contains(t, lines[1], `"content":" there"`)
	require.Contains(t, lines[2], `"done":true`)
}

// A model of a server that is not there waits, and is in nobody's way.
func TestDevWithoutOllama(t *testing.T) {
	p := start(t, "-dev", "-ollama", "127.0.0.1:1")
	waits := post(t, p.url+"/jobs", `{"model":"llama3","prompt":"x"}`).job(t)
	until(t, p.url+"/jobs/"+waits.ID, func(j job) bool { return j.Queue != nil && j.Queue.WaitingFor == "backend" })
	require.Equal(t, "done", post(t, p.url+"/jobs", hello, "Prefer: wait=10").job(t).State)
	require.Equal(t, http.StatusOK, get(t, p.url+"/readyz").status)
	require.Equal(t, "queued", get(t, p.url+"/jobs/"+waits.ID).job(t).State)
}

func TestPaths(t *testing.T) {
	p := start(t, "-dev")
	a := get(t, p.url+"/")
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "text/plain; charset=utf-8", a.header.Get("Content-Type"))
	require.Contains(t, string(a.body), "running", "as clients of Ollama ask for it")
	require.Equal(t, http.StatusOK, get(t, p.url+"/healthz").status)
	for _, path := range []string{"/nowhere", "/dev/webhooks", "/dev"} {
		a = get(t, p.url+path)
		require.Equal(t, http.StatusNotFound, a.status, path)
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), path)
	}
	a = post(t, p.url+"/dev/webhooks", `{}`)
	require.Equal(t, http.StatusUnauthorized, a.status, "it is for what is signed")

	t.Run("names and pages from elsewhere", func(t *testing.T) {
		a := post(t, p.url+"/jobs", hello, "Origin: https://example.com", "Sec-Fetch-Site: cross-site")
		require.Equal(t, http.StatusForbidden, a.status)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/jobs", http.NoBody)
		require.NoError(t, err)
		r.Host = "rebound.example.com"
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusForbidden, resp.StatusCode)
	})
}
