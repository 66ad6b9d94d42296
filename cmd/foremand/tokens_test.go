package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte("alice alice-0123456789\nbob bob-01234567890123\nroot root-0123456789012 admin\n"), 0o600))
	p := start(t, "-dev", "-tokens-file", file)
	const alice, bob, root = "Authorization: Bearer alice-0123456789", "Authorization: Bearer bob-01234567890123", "Authorization: Bearer root-0123456789012"

	for _, path := range []string{"/", "/jobs", "/events", "/nowhere", "/api/chat"} {
		a := get(t, p.url+path)
		require.Equal(t, http.StatusUnauthorized, a.status, path)
		require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"), path)
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), path)
	}
	require.Equal(t, http.StatusUnauthorized, post(t, p.url+"/jobs", hello, "Authorization: Bearer nobody-0123456789").status)
	require.Equal(t, http.StatusUnauthorized, post(t, p.url+"/api/chat", hello).status)
	require.Equal(t, http.StatusOK, post(t, p.url+"/api/chat", hello, bob).status)
	for _, path := range []string{"/healthz", "/readyz"} {
		require.Equal(t, http.StatusOK, get(t, p.url+path).status, path)
	}

	a := post(t, p.url+"/jobs", hello, alice, "Prefer: wait=10")
	require.Equal(t, http.StatusOK, a.status)
	id := a.job(t).ID
	require.Equal(t, http.StatusOK, get(t, p.url+"/jobs/"+id, alice).status)
	require.Equal(t, http.StatusNotFound, get(t, p.url+"/jobs/"+id, bob).status)
	require.Equal(t, http.StatusNotFound, get(t, p.url+"/jobs/"+id+"/artifacts/completion", bob).status)
	require.Equal(t, http.StatusOK, get(t, p.url+"/jobs/"+id, root).status)
	require.Contains(t, string(get(t, p.url+"/jobs", alice).body), id)
	require.NotContains(t, string(get(t, p.url+"/jobs", bob).body), id)
	require.Contains(t, string(get(t, p.url+"/jobs", root).body), id)

	// Webhooks of foremand itself come without a token, and are signed.
	post(t, p.url+"/jobs", hello[:len(hello)-1]+`,"state_webhook_url":"`+p.url+`/dev/webhooks"}`, alice)
	_, err := p.line("webhook verified")
	require.NoError(t, err)
}

// What became of a webhook is for the owner of its job. An admin sees it too, but for
// what the receiver has answered.
func TestTokensOfDeliveries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte("alice alice-0123456789\nbob bob-01234567890123\nroot root-0123456789012 admin\n"), 0o600))
	const alice, bob, root = "Authorization: Bearer alice-0123456789", "Authorization: Bearer bob-01234567890123", "Authorization: Bearer root-0123456789012"
	p := start(t, "-dev", "-tokens-file", file)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone) // no attempt follows
		_, _ = w.Write([]byte("behind the URL"))
	}))
	defer hook.Close()

	a := post(t, p.url+"/jobs", hello[:len(hello)-1]+`,"webhook_events":["done"],"state_webhook_url":"`+hook.URL+`"}`, alice, "Prefer: wait=10")
	require.Equal(t, http.StatusOK, a.status)
	path := p.url + "/jobs/" + a.job(t).ID + "/deliveries"
	type delivery struct {
		ID, Status string
		Attempts   []attempt
	}
	list := func(who string) (all []delivery) {
		a := get(t, path, who)
		require.Equal(t, http.StatusOK, a.status)
		require.NoError(t, json.Unmarshal(a.body, &struct{ Deliveries *[]delivery }{&all}))
		return all
	}
	stopped := func(attempts int) {
		require.Eventually(t, func() bool {
			all := list(alice)
			return len(all) == 1 && all[0].Status == "stopped" && len(all[0].Attempts) == attempts
		}, patience, 10*time.Millisecond)
	}
	stopped(1)
	d := list(alice)[0]
	require.Equal(t, http.StatusGone, d.Attempts[0].Status)
	require.Equal(t, "behind the URL", d.Attempts[0].Response)
	require.Equal(t, http.StatusNotFound, get(t, path, bob).status)
	require.Equal(t, http.StatusUnauthorized, get(t, path).status)
	seen := list(root)[0]
	require.Equal(t, http.StatusGone, seen.Attempts[0].Status)
	require.Empty(t, seen.Attempts[0].Response)

	again := path + "/" + d.ID + "/redeliver"
	require.Equal(t, http.StatusUnauthorized, post(t, again, "").status)
	require.Equal(t, http.StatusNotFound, post(t, again, "", bob).status)
	require.Equal(t, http.StatusAccepted, post(t, again, "", alice).status)
	stopped(2)
	a = post(t, again, "", root)
	require.Equal(t, http.StatusAccepted, a.status)
	require.NotContains(t, string(a.body), "behind the URL")
	stopped(3)

	checks, url := p.url+"/webhooks/check", `{"url":"`+hook.URL+`"}`
	require.Equal(t, http.StatusUnauthorized, post(t, checks, url).status)
	for _, who := range []string{alice, bob, root} {
		a := post(t, checks, url, who)
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, string(a.body), `"response":"behind the URL"`, "to whoever has named the URL")
	}
}
