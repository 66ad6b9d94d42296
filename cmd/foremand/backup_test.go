package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/need"
	"github.com/foreman-go/foreman/internal/pgtest"
)

// A database that was dumped while a foremand ran is restored, as docs/several.md says:
// what had ended has ended, what was queued runs, and what came after it is not there.
func TestBackup(t *testing.T) {
	for _, program := range []string{"pg_dump", "pg_restore"} {
		need.Program(t, program, "install PostgreSQL's client programs, to have a backup made and restored")
	}
	db := pgtest.Start(t).URL
	where := place{"-store", db, "-artifacts", "file://" + filepath.ToSlash(t.TempDir())}
	file := filepath.Join(t.TempDir(), "foreman.dump")
	run := func(name string, args ...string) {
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}

	p := at(t, where)
	done := post(t, p.url+"/jobs", hello, "Prefer: wait=20").job(t)
	require.Equal(t, "done", done.State)
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/pause", "").status)
	queued := post(t, p.url+"/jobs", hello).job(t).ID
	run("pg_dump", "--schema=foreman", "--format=custom", "--file="+file, db)
	later := post(t, p.url+"/jobs", hello).job(t).ID
	end(t, p)
	run("pg_restore", "--clean", "--if-exists", "--dbname="+db, file)

	p = at(t, where)
	require.Equal(t, http.StatusNotFound, get(t, p.url+"/jobs/"+later).status)
	require.Equal(t, done, get(t, p.url+"/jobs/"+done.ID).job(t))
	require.Equal(t, http.StatusOK, get(t, p.url+"/jobs/"+done.ID+"/artifacts/completion").status)
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/resume", "").status)
	until(t, p.url+"/jobs/"+queued, func(j job) bool { return j.State == "done" })
}
