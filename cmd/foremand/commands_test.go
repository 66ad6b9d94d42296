package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A model of the config file is run by its program, and every other by the servers.
func TestCommands(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("there is no cat here")
	}
	file := filepath.Join(t.TempDir(), "foreman.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
models:
  echo: {per-slot: 4}
commands:
  copy: {path: `+cat+`, stdin: "{{.Input.text}}", result: true, per-slot: 2}
`), 0o600))
	p := start(t, "-dev", "-config", file)
	j := post(t, p.url+"/jobs", `{"model":"copy","input":{"text":"hello"}}`, "Prefer: wait=10").job(t)
	require.Equal(t, "done", j.State)
	require.JSONEq(t, `"hello"`, string(j.Result))
	j = post(t, p.url+"/jobs", `{"model":"copy","input":{"words":"hello"}}`, "Prefer: wait=10").job(t)
	require.Equal(t, "failed", j.State)
	require.Contains(t, j.Error.Message, "text")
	require.Equal(t, "done", post(t, p.url+"/jobs", hello, "Prefer: wait=10").job(t).State)

	a := get(t, p.url+"/queue")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, string(a.body), `"pool":"command copy"`)
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/pause", `{"lane":"copy"}`).status)
	waits := post(t, p.url+"/jobs", `{"model":"copy","input":{"text":"later"}}`).job(t)
	require.Equal(t, "paused", get(t, p.url+"/jobs/"+waits.ID).job(t).Queue.WaitingFor)
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/resume", `{"lane":"copy"}`).status)
	until(t, p.url+"/jobs/"+waits.ID, func(j job) bool { return j.State == "done" })
}
