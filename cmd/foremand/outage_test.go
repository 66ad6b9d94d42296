package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
)

// While PostgreSQL is down requests are told when to come again, and what runs goes on:
// its result is written when PostgreSQL is back.
func TestPostgresIsDown(t *testing.T) {
	db := pgtest.Start(t)
	p := at(t, place{"-store", db.URL, "-artifacts", "file://" + filepath.ToSlash(t.TempDir())})
	id := busyWith(t, p, strings.Replace(slow, "10s", "1s", 1))
	db.Stop(t)
	for _, a := range []answer{get(t, p.url+"/jobs/"+id), post(t, p.url+"/jobs", hello), get(t, p.url+"/readyz")} {
		require.Equal(t, http.StatusServiceUnavailable, a.status, string(a.body))
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Contains(t, string(a.body), `"type":"unavailable"`)
	}
	require.Equal(t, http.StatusOK, get(t, p.url+"/healthz").status)
	require.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), "results cannot be stored; trying again") }, patience, 10*time.Millisecond)
	db.Start(t)
	require.Equal(t, 1, until(t, p.url+"/jobs/"+id, func(j job) bool { return j.State == "done" }).Attempt)
	require.Equal(t, http.StatusOK, get(t, p.url+"/jobs/"+id+"/artifacts/completion").status)
}
