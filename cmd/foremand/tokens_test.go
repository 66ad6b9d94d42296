package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

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
