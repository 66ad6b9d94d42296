package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/internal/s3test"
)

// place is where a foremand keeps jobs and artifacts: flags for it.
type place []string

// inPostgres is a schema of its own, with artifacts at a URL.
func inPostgres(t *testing.T, artifacts string) place {
	db := pgtest.URL(t)
	return place{"-store", db, "-store-schema", pgtest.Schema(t, db), "-artifacts", artifacts, "-data", t.TempDir()}
}

// foremand runs it to its end, and returns what it printed and its exit code.
func foremand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "foremand", args...)
	cmd.Dir, cmd.Env = t.TempDir(), environment(t, "AWS_")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	}
	require.NoError(t, err)
	return out.String(), errs.String(), 0
}

// move exports from a place or imports into it, and returns what it printed.
func move(t *testing.T, what string, at place, file string) string {
	t.Helper()
	out, errs, code := foremand(t, append(append([]string{what}, at...), file)...)
	require.Zero(t, code, errs)
	return out
}

// at starts a foremand at a place, with the echo model.
func at(t *testing.T, where place, more ...string) *process {
	t.Helper()
	args := append([]string{"-dev", "-webhook-secret", crashSecret, "-webhook-schedule", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s"}, where...)
	return startIn(t, environment(t, "AWS_"), append(args, more...)...)
}

func end(t *testing.T, p *process) {
	t.Helper()
	code, err := p.end()
	require.NoError(t, err)
	require.Zero(t, code, p.stderr.String())
}

// shut is a receiver that is out of order until it is opened, and then verifies and keeps
// what comes.
type shut struct {
	*receiver
	URL    string
	opened atomic.Bool
	tried  atomic.Int64
}

func newShut(t *testing.T) *shut {
	s := &shut{receiver: newReceiver(t)}
	to, err := url.Parse(s.receiver.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.tried.Add(1); !s.opened.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.URL = front.URL
	return s
}

// seen is all that a foremand tells of a job that must be the same elsewhere.
func seen(t *testing.T, p *process, id string) map[string]any {
	t.Helper()
	var all map[string]any
	a := get(t, p.url+"/jobs/"+id)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.NoError(t, json.Unmarshal(a.body, &all))
	delete(all, "queue")
	delete(all, "webhook")
	if list, ok := all["artifacts"].([]any); ok {
		for _, a := range list {
			name := a.(map[string]any)["name"].(string)
			delete(a.(map[string]any), "url")
			body := get(t, p.url+"/jobs/"+id+"/artifacts/"+name)
			require.Equal(t, http.StatusOK, body.status, name)
			all["bytes of "+name] = string(body.body)
		}
	}
	var page struct{ Events []map[string]any }
	require.NoError(t, json.Unmarshal(get(t, p.url+"/events?limit=1000").body, &page))
	for _, e := range page.Events {
		if e["job_id"] == id {
			delete(e, "position")
			delete(e, "artifacts")
			all[fmt.Sprint("event ", e["sequence"])] = e
		}
	}
	return all
}

// Jobs go from a file into PostgreSQL and a bucket, and from there into another file:
// what has ended, what waits, what is still to be told, and which keys are taken.
func TestMove(t *testing.T) {
	bucket := s3test.Start(t).Bucket(t, "moved")
	hook := newShut(t)
	first := place{"-data", t.TempDir()}
	p := at(t, first)
	jobs := map[string]string{}
	add := func(name, body string) {
		a := post(t, p.url+"/jobs", `{"model":"echo","state_webhook_url":"`+hook.URL+`",`+body+`}`, "Idempotency-Key: "+name)
		require.Equal(t, http.StatusAccepted, a.status, string(a.body))
		jobs[name] = a.job(t).ID
	}
	add("done", `"prompt":"hello there","labels":{"of":"ann"},"options":{"artifact_bytes":3000000}`)
	add("failed", `"prompt":"hello there","max_attempts":1,"options":{"fail_attempts":1}`)
	until(t, p.url+"/jobs/"+jobs["done"], func(j job) bool { return j.State == "done" })
	until(t, p.url+"/jobs/"+jobs["failed"], func(j job) bool { return j.State == "failed" })
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/pause", "").status)
	add("queued", `"prompt":"later"`)
	add("delayed", `"prompt":"much later","run_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`)
	require.Eventually(t, func() bool { return hook.tried.Load() > 0 }, patience, 10*time.Millisecond)
	was := map[string]map[string]any{}
	for name, id := range jobs {
		was[name] = seen(t, p, id)
	}
	require.Contains(t, was["done"], "bytes of blob")
	file := filepath.Join(t.TempDir(), "jobs.tar")
	out, errs, code := foremand(t, append(append([]string{"export"}, first...), file)...)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "another process has it open: stop that process")
	require.Empty(t, out)
	require.NoFileExists(t, file)
	end(t, p)

	const counts = "4 jobs, 8 events, 8 webhooks of which 8 are still to be sent, and 2 artifacts of 3000" // as docs/foremand.md has it
	require.Contains(t, move(t, "export", first, file), "exported "+counts)
	second := inPostgres(t, bucket)
	for _, added := range []string{"4 jobs and 2 artifacts, and 0 jobs and 0", "0 jobs and 0 artifacts, and 4 jobs and 2"} {
		out := move(t, "import", second, file)
		require.Contains(t, out, "imported "+counts)
		require.Contains(t, out, ": added "+added+" artifacts were there already")
	}
	compare := func(p *process) {
		for name, id := range jobs {
			require.Equal(t, was[name], seen(t, p, id), name)
			a := post(t, p.url+"/jobs", `{"model":"echo","state_webhook_url":"`+hook.URL+`",`+`"prompt":"later"}`, "Idempotency-Key: queued")
			require.Equal(t, jobs["queued"], a.job(t).ID, "the key is taken")
		}
	}
	p = at(t, second)
	compare(p)
	end(t, p)

	back := filepath.Join(t.TempDir(), "back.tar")
	require.Contains(t, move(t, "export", second, back), "exported "+counts)
	third := place{"-data", t.TempDir()}
	require.Contains(t, move(t, "import", third, back), "imported "+counts)
	p = at(t, third)
	compare(p)
	hook.opened.Store(true)
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/resume", "").status)
	until(t, p.url+"/jobs/"+jobs["queued"], func(j job) bool { return j.State == "done" })
	require.Eventually(t, func() bool {
		first := hook.firsts()
		return len(first[jobs["done"]]) == 3 && len(first[jobs["failed"]]) == 3 && len(first[jobs["queued"]]) == 3 && len(first[jobs["delayed"]]) == 1
	}, 2*patience, 20*time.Millisecond, "what was still to be sent is sent, and verified")
}

// Artifacts that were put in the wrong place are said to be missing in the right one, with an
// exit code that a script sees, until the import is made again there.
func TestMoveToTheWrongArtifacts(t *testing.T) {
	first := place{"-data", t.TempDir()}
	id := many(t, first, 1, 1000)[0]
	dir := t.TempDir()
	file, back := filepath.Join(dir, "jobs.tar"), filepath.Join(dir, "back.tar")
	move(t, "export", first, file)
	bucket := func() string { return "file://" + filepath.ToSlash(t.TempDir()) }
	right := inPostgres(t, bucket())
	move(t, "import", append(slices.Clone(right), "-artifacts", bucket()), file)

	out, errs, code := foremand(t, append(append([]string{"export"}, right...), back)...)
	require.Equal(t, 1, code)
	require.Contains(t, out, "exported 1 jobs")
	require.Contains(t, errs, "back.tar lacks 2 artifacts, which are not where")
	require.Contains(t, move(t, "import", place{"-data", t.TempDir()}, back), "\n2 more artifacts of these jobs were not found by the export")

	require.Contains(t, move(t, "import", right, file), ": added 0 jobs and 2 artifacts, and 1 jobs and 0 artifacts were there already")
	p := at(t, right)
	require.Len(t, get(t, p.url+"/jobs/"+id+"/artifacts/blob").body, 1000)
}

// many fills a place with jobs that have ended, each with an artifact of some size, and
// returns their ids.
func many(t *testing.T, where place, n, size int) []string {
	t.Helper()
	p := at(t, where, "-per-slot", "8")
	ids := make([]string, n)
	for i := range ids {
		ids[i] = post(t, p.url+"/jobs", fmt.Sprintf(`{"model":"echo","prompt":"job %d","options":{"artifact_bytes":%d}}`, i, size)).job(t).ID
	}
	everyChange(t, p, ids)
	end(t, p)
	return ids
}

// killed starts to move, and kills it once enough says so. It reports whether it was
// killed before it had ended.
func killed(t *testing.T, enough func() bool, args ...string) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "foremand", args...)
	cmd.Dir, cmd.Env = t.TempDir(), environment(t)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, errs.String())
			return false
		default:
		}
		if enough() {
			_ = cmd.Process.Kill()
			return <-ended != nil
		}
		time.Sleep(time.Millisecond)
	}
}

// sizes are how many files are below a directory, and how many bytes they have.
func sizes(dir string) (files int, size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may be gone by now
		}
		if info, err := d.Info(); err == nil {
			files++
			size += info.Size()
		}
		return nil
	})
	return files, size
}

// An export and an import that are killed are made again: everything is there then, and
// nothing twice.
func TestMoveIsKilled(t *testing.T) {
	const n, size = 120, 400_000
	first := place{"-data", t.TempDir()}
	ids := many(t, first, n, size)
	dir, kills := t.TempDir(), 0
	file := filepath.Join(dir, "jobs.tar")
	for _, part := range []int64{0, n * size / 2} {
		var before int64
		if _, s := sizes(dir); s > 0 {
			before = s
		}
		if killed(t, func() bool { _, s := sizes(dir); return s-before > part }, append(append([]string{"export"}, first...), file)...) {
			kills++
			require.NoFileExists(t, file)
		}
		require.NoError(t, os.RemoveAll(file))
	}
	require.Positive(t, kills)
	counts := fmt.Sprintf("%d jobs, %d events, 0 webhooks of which 0 are still to be sent, and %d artifacts of ", n, 3*n, 2*n)
	require.Contains(t, move(t, "export", first, file), "exported "+counts)

	bucket := t.TempDir()
	second := inPostgres(t, "file://"+filepath.ToSlash(bucket))
	kills = 0
	for _, part := range []int{1, n, 2*n - 10} {
		if killed(t, func() bool { f, _ := sizes(bucket); return f >= part }, append(append([]string{"import"}, second...), file)...) {
			kills++
		}
	}
	require.Positive(t, kills)
	t.Logf("killed %d imports", kills)
	require.Contains(t, move(t, "import", second, file), "imported "+counts)
	kept := 0 // beside what was being written when it was killed
	require.NoError(t, fs.WalkDir(os.DirFS(bucket), ".", func(path string, _ fs.DirEntry, err error) error {
		if k, ok := artifact.ParsePath(path); ok && (k.Name == "blob" || k.Name == "completion") {
			kept++
		}
		return err
	}))
	require.Equal(t, 2*n, kept)
	p := at(t, second)
	changes := everyChange(t, p, ids)
	require.Len(t, changes, n)
	for id, events := range changes {
		require.Len(t, events, 3, id)
	}
	for _, id := range ids {
		a := get(t, p.url+"/jobs/"+id+"/artifacts/blob")
		require.Equal(t, http.StatusOK, a.status)
		require.Len(t, a.body, size)
	}
}

// Jobs come into a queue that another foremand is at, which begins with them; and the
// import can be made again after that.
func TestImportWhileOthersRun(t *testing.T) {
	first := place{"-data", t.TempDir()}
	p := at(t, first)
	require.Equal(t, http.StatusOK, post(t, p.url+"/queue/pause", `{"lane":"of nobody"}`).status)
	var ids []string
	for range 5 {
		ids = append(ids, post(t, p.url+"/jobs", `{"model":"echo","prompt":"later","run_at":"`+time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)+`"}`).job(t).ID)
	}
	p.kill() // nothing of what was acknowledged is lost
	file := filepath.Join(t.TempDir(), "jobs.tar")
	require.Contains(t, move(t, "export", first, file), "exported 5 jobs")

	second := inPostgres(t, "file://"+filepath.ToSlash(t.TempDir()))
	running := at(t, second)
	require.Contains(t, move(t, "import", second, file), ": added 5 jobs and 0 artifacts")
	for _, id := range ids {
		until(t, running.url+"/jobs/"+id, func(j job) bool { return j.State == "done" })
	}
	require.Contains(t, move(t, "import", second, file), ": added 0 jobs and 0 artifacts, and 5 jobs")
	for _, id := range ids {
		until(t, running.url+"/jobs/"+id, func(j job) bool { return j.State == "done" && j.Attempt == 1 })
	}
}

// A job that a crash has cut short is moved as it is, and runs again elsewhere.
func TestMoveAfterCrash(t *testing.T) {
	first := place{"-data", t.TempDir()}
	p := at(t, first)
	id := busyWith(t, p, `{"model":"echo","prompt":"one two three","options":{"delay":"1s"}}`)
	p.kill()
	file := filepath.Join(t.TempDir(), "jobs.tar")
	require.Contains(t, move(t, "export", first, file), "exported 1 jobs")
	second := inPostgres(t, "file://"+filepath.ToSlash(t.TempDir()))
	move(t, "import", second, file)
	q := at(t, second)
	require.Equal(t, 2, until(t, q.url+"/jobs/"+id, func(j job) bool { return j.State == "done" }).Attempt)
	busyWith(t, q, `{"model":"echo","prompt":"one two three","options":{"delay":"5s"}}`)
	_, errs, code := foremand(t, append(append([]string{"export"}, second...), filepath.Join(t.TempDir(), "more.tar"))...)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "in another process that shares the store: stop them all, and try again in 10s")
}
