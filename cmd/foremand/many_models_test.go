package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/internal/pgtest"
)

// TestModelsElsewhere has two foremands, each with a server of its own that has another
// model. Jobs are for whichever has their model, wherever they are submitted; what nobody
// has waits until somebody has it, and callers hear at once that there is no such model.
func TestModelsElsewhere(t *testing.T) {
	servers := map[string]*ollamatest.Server{"small": modelServer(t, "small"), "large": modelServer(t, "large")}
	f := newFleet(t, 0, pgtest.Start(t).URL, "-allow-changes")
	for _, model := range []string{"small", "large"} {
		f.members = append(f.members, start(t, append([]string{"-data", t.TempDir(), "-ollama", servers[model].URL()}, f.args...)...))
	}
	for range 3 {
		for model, server := range servers {
			for _, p := range f.members {
				before := len(server.Requests("/api/chat"))
				j := post(t, p.url+"/jobs", chat(model), "Prefer: wait=20").job(t)
				require.Equal(t, "done", j.State, "%s: %v", model, j.Error)
				require.Equal(t, 1, j.Attempt)
				require.Len(t, server.Requests("/api/chat"), before+1)
			}
		}
	}
	one := f.member(0)
	id := post(t, one.url+"/jobs", chat("none")).job(t).ID
	require.Contains(t, string(get(t, one.url+"/jobs/"+id).body), `"waiting_for":"backend"`)
	a, direct := post(t, one.url+"/api/chat", chat("none")), post(t, servers["small"].URL()+"/api/chat", chat("none"))
	require.Equal(t, http.StatusNotFound, a.status)
	require.Equal(t, string(direct.body), string(a.body))

	require.Equal(t, http.StatusOK, post(t, f.member(1).url+"/api/copy", `{"source":"large","destination":"none"}`).status)
	j := get(t, one.url+"/jobs/"+id, "Prefer: wait=20").job(t)
	require.Equal(t, "done", j.State)
	require.Equal(t, 1, j.Attempt)
}
