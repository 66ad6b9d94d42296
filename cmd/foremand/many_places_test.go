package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
)

// What belongs to one queue, or to one process, is refused to another, in one sentence
// that says what to do, and that helps.
func TestPlacesOfOthers(t *testing.T) {
	db := pgtest.URL(t)
	bucket, data := t.TempDir(), t.TempDir()
	url := "file://" + filepath.ToSlash(bucket)
	queue := func(schema string, more ...string) place {
		return append(place{"-store", db, "-store-schema", schema}, more...)
	}
	first := queue(pgtest.Schema(t, db), "-artifacts", url, "-data", t.TempDir())
	p := at(t, first)
	done := post(t, p.url+"/jobs", hello, "Prefer: wait=20").job(t)
	require.Equal(t, "done", done.State)
	refused := func(want int, where place, sentence string) {
		t.Helper()
		begun := time.Now()
		_, errs, code := foremand(t, append([]string{"-dev", "-addr", "127.0.0.1:0"}, where...)...)
		require.Equal(t, want, code)
		require.Regexp(t, `^(time=.*\n)*foremand: .*`+sentence+`.*\n$`, errs)
		require.Less(t, time.Since(begun), patience/2, "waiting does not mend it")
	}

	another := pgtest.Schema(t, db)
	refused(1, queue(another, "-artifacts", url, "-data", t.TempDir()), "belongs to another queue.*prefix=name/ in the URL; .*remove that object")
	second := at(t, queue(another, "-artifacts", url+"?prefix=q3/", "-data", t.TempDir()))
	require.Equal(t, "done", post(t, second.url+"/jobs", hello, "Prefer: wait=20").job(t).State)
	require.Equal(t, http.StatusOK, get(t, p.url+"/jobs/"+done.ID+"/artifacts/completion").status)
	end(t, at(t, first)) // beside the one that runs

	shared := pgtest.Schema(t, db)
	third := at(t, queue(shared, "-data", data))
	require.Equal(t, "done", post(t, third.url+"/jobs", hello, "Prefer: wait=20").job(t).State)
	refused(1, queue(shared, "-data", data), "another process has it open: stop that process, or .*-data and -artifacts")
	end(t, third)
	refused(1, queue(another, "-data", data), "belongs to another queue.*remove that file")

	refused(2, queue(another, "-artifacts", "file://relative"), "three slashes")

	// A queue that has moved leaves its bucket to the one that its jobs have come to.
	end(t, p)
	file := filepath.Join(t.TempDir(), "jobs.tar")
	move(t, "export", first, file)
	moved := queue(pgtest.Schema(t, db), "-artifacts", url, "-data", t.TempDir())
	_, errs, code := foremand(t, append(append([]string{"import"}, moved...), file)...)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "has moved here, remove that object")
	require.NoError(t, os.Remove(filepath.Join(bucket, "queue")))
	move(t, "import", moved, file)
	q := at(t, moved)
	require.Equal(t, http.StatusOK, get(t, q.url+"/jobs/"+done.ID+"/artifacts/completion").status)
	refused(1, first, "belongs to another queue")
}

// A directory that is not there is waited for, and not made: it may be a share that is
// still to be mounted. One that goes is not made either.
func TestDirectoryThatIsNotThere(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "share")
	require.NoError(t, os.Mkdir(dir, 0o700))
	p := at(t, place{"-data", t.TempDir(), "-artifacts", "file://" + filepath.ToSlash(dir)})
	require.Equal(t, "done", post(t, p.url+"/jobs", hello, "Prefer: wait=20").job(t).State)
	require.NoError(t, os.Rename(dir, dir+".away"))
	id := post(t, p.url+"/jobs", `{"model":"echo","prompt":"hello there","max_attempts":9}`).job(t).ID
	failing := until(t, p.url+"/jobs/"+id, func(j job) bool { return j.Error != nil })
	require.Contains(t, failing.Error.Message, "as if it were not mounted")
	require.NoDirExists(t, dir)
	require.NoError(t, os.Rename(dir+".away", dir))
	until(t, p.url+"/jobs/"+id, func(j job) bool { return j.State == "done" })
}
