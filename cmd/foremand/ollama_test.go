package main

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

// Jobs are accepted while Ollama is down, and run once it is up.
func TestOllamaComesUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	p := start(t, "-ollama", addr)

	require.Equal(t, http.StatusServiceUnavailable, get(t, p.url+"/readyz").status)
	require.Equal(t, http.StatusOK, get(t, p.url+"/healthz").status)
	a := post(t, p.url+"/jobs", `{"model":"llama3","prompt":"one two"}`)
	require.Equal(t, http.StatusAccepted, a.status)
	j := until(t, p.url+"/jobs/"+a.job(t).ID, func(j job) bool { return j.Queue != nil && j.Queue.WaitingFor == "backend" })

	server := ollamatest.New(t, &ollamatest.Options{Addr: addr})
	j = until(t, p.url+"/jobs/"+j.ID, func(j job) bool { return j.State == "done" })
	require.Equal(t, 1, j.Attempt, "waiting was no attempt")
	generate := server.Requests("/api/generate")
	require.Len(t, generate, 2)
	require.JSONEq(t, `{"model":"llama3"}`, string(generate[0].Body), "the model is loaded first")
	require.Equal(t, http.StatusOK, get(t, p.url+"/readyz").status)

	t.Run("echo is no model without -dev", func(t *testing.T) {
		j := post(t, p.url+"/jobs", hello, "Prefer: wait=10").job(t)
		require.Equal(t, "failed", j.State)
		require.Equal(t, "backend_rejected", j.Error.Type)
		require.Contains(t, j.Error.Message, "not found")
	})
	t.Run("callers who wait are answered by Ollama", func(t *testing.T) {
		const body = `{"model":"llama3","messages":[{"role":"user","content":"one two"}],"stream":false}`
		through, direct := post(t, p.url+"/api/chat", body), post(t, server.URL()+"/api/chat", body)
		require.Equal(t, direct.status, through.status)
		require.Equal(t, direct.header.Get("Content-Type"), through.header.Get("Content-Type"))
		require.Contains(t, string(through.body), `"done":true`)
	})
}

// Beside the echo model, -dev has those of Ollama.
func TestDevWithOllama(t *testing.T) {
	server := ollamatest.New(t, nil)
	p := start(t, "-dev", "-ollama", server.URL())
	require.Equal(t, "done", post(t, p.url+"/jobs", `{"model":"llama3","prompt":"one two"}`, "Prefer: wait=10").job(t).State)
	require.Equal(t, "done", post(t, p.url+"/jobs", hello, "Prefer: wait=10").job(t).State)
	require.Equal(t, http.StatusOK, post(t, p.url+"/api/chat", `{"model":"llama3","messages":[{"role":"user","content":"one"}]}`).status)
	require.Len(t, server.Requests("/api/chat"), 1, "what is for the echo model does not get there")
	for _, path := range []string{"/api/tags", "/v1/models"} {
		list := string(get(t, p.url+path).body)
		require.Contains(t, list, `"llama3:latest"`)
		require.Contains(t, list, `"echo"`)
	}
}

// The surface is Ollama's, at the root too; what changes the server is only passed on
// when it is told so.
func TestGateway(t *testing.T) {
	server := ollamatest.New(t, nil)
	for _, c := range []struct {
		args   []string
		status int
	}{
		{nil, http.StatusForbidden},
		{[]string{"-allow-changes"}, http.StatusOK},
	} {
		p := start(t, append(c.args, "-ollama", server.URL())...)
		require.Equal(t, "Ollama is running", string(get(t, p.url+"/").body))
		require.Equal(t, get(t, server.URL()+"/v1/models").body, get(t, p.url+"/v1/models").body)
		require.Equal(t, c.status, post(t, p.url+"/api/copy", `{"source":"llama3","destination":"copy"}`).status)
	}
}
