package foreman_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

func TestArtifactsOverHTTP(t *testing.T) {
	const limit = 262_144
	contents := map[string][]byte{
		"empty":         {},
		"at.txt":        bytes.Repeat([]byte("a"), limit),
		"above.txt":     bytes.Repeat([]byte("b"), limit+1),
		"at.bin":        append(bytes.Repeat([]byte("c"), limit-1), 0xff),
		"page.html":     []byte("<script>alert(1)</script>"),
		"Report_1-a.md": []byte("# caf\u00e9"),
	}
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		for name, data := range contents {
			contentType := "text/plain; charset=utf-8"
			if strings.HasSuffix(name, ".html") {
				contentType = "text/html"
			}
			if _, err := task.Artifact(name, contentType, bytes.NewReader(data)); err != nil {
				return err
			}
		}
		return nil
	}), foreman.Options{})
	a := newAPI(t, f)
	start(t, f)
	j := a.post("/jobs", `{"model":"m"}`, "Prefer", "wait=30").is(http.StatusOK).job()
	require.Len(t, j.Artifacts, len(contents))
	var list struct{ Artifacts []wireArtifact }
	a.get(j.Links["artifacts"]).is(http.StatusOK).into(&list)
	require.Equal(t, j.Artifacts, list.Artifacts)

	for _, art := range j.Artifacts {
		t.Run(art.Name, func(t *testing.T) {
			a.tb = t
			data := contents[art.Name]
			require.EqualValues(t, len(data), art.Size)
			sum := sha256.Sum256(data)
			require.Equal(t, hex.EncodeToString(sum[:]), art.SHA256)
			switch {
			case len(data) > limit:
				require.Nil(t, art.Data)
				require.Equal(t, j.Links["artifacts"]+"/"+art.Name, art.URL)
			case art.Name == "at.bin":
				require.Equal(t, "base64", art.Encoding)
				require.Equal(t, base64.StdEncoding.EncodeToString(data), *art.Data)
			default:
				require.Empty(t, art.Encoding)
				require.Equal(t, string(data), *art.Data)
			}
			path := j.Links["artifacts"] + "/" + art.Name
			r := a.get(path).is(http.StatusOK)
			require.Equal(t, data, append([]byte{}, r.body...))
			h := r.header
			require.Equal(t, art.ContentType, h.Get("Content-Type"))
			require.Equal(t, `"`+art.SHA256+`"`, h.Get("ETag"))
			require.Equal(t, `attachment; filename="`+art.Name+`"`, h.Get("Content-Disposition"))
			require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
			require.Equal(t, "sandbox; default-src 'none'", h.Get("Content-Security-Policy"))
			require.Equal(t, "private, max-age=86400, immutable", h.Get("Cache-Control"))
			require.Equal(t, "bytes", h.Get("Accept-Ranges"))
			head := a.do("HEAD", path, "").is(http.StatusOK)
			require.Equal(t, h.Get("Content-Length"), head.header.Get("Content-Length"))
			require.Empty(t, a.get(path, "If-None-Match", h.Get("ETag")).is(http.StatusNotModified).body)
		})
	}
	a.tb = t
	large := j.Links["artifacts"] + "/above.txt"
	tag := a.get(large).header.Get("ETag")
	r := a.get(large, "Range", "bytes=262140-").is(http.StatusPartialContent)
	require.Equal(t, "bytes 262140-262144/262145", r.header.Get("Content-Range"))
	require.Equal(t, "bbbbb", string(r.body))
	a.get(large, "Range", "bytes=0-0", "If-Range", tag).is(http.StatusPartialContent)
	a.get(large, "Range", "bytes=0-0", "If-Range", `"x"`).is(http.StatusOK)
	r = a.get(large, "Range", "bytes=262145-").fails(http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable")
	require.Equal(t, "bytes */262145", r.header.Get("Content-Range"))
	require.Empty(t, r.header.Get("ETag")+r.header.Get("Content-Disposition"))
	a.get(large+"x").fails(http.StatusNotFound, foreman.ErrNotFound)
}

// A job whose data is lost, with a bucket that is older than the database, is there all
// the same.
func TestArtifactsThatAreLost(t *testing.T) {
	dir := t.TempDir()
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		for _, name := range []string{"kept", "lost"} {
			if _, err := task.Artifact(name, "text/plain", strings.NewReader(name)); err != nil {
				return err
			}
		}
		return nil
	}), foreman.Options{Dir: dir})
	stop := start(t, f)
	id := submit(t, f, foreman.Spec{})
	await(t, f, id)
	stop()
	for _, file := range files(t, filepath.Join(dir, "artifacts")) {
		if strings.HasSuffix(file, "-lost") {
			require.NoError(t, os.Remove(file))
		}
	}
	a := newAPI(t, f)
	body := string(a.get("/jobs/" + id.String()).is(http.StatusOK).body)
	require.Contains(t, body, `"data":"kept"`)
	require.Contains(t, body, `"url":"/jobs/`+id.String()+`/artifacts/lost","data_removed":true`)
	a.get("/jobs/"+id.String()+"/artifacts/lost").fails(http.StatusGone, foreman.ErrGone)
	a.get("/jobs/"+id.String()+"/artifacts/none").fails(http.StatusNotFound, foreman.ErrNotFound)
}

// An artifact of a failed job may be another one after a retry, and is not to be kept
// by whoever read it without a question.
func TestArtifactsOfAFailedJobAreAskedForAgain(t *testing.T) {
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		if _, err := task.Artifact("log.txt", "", strings.NewReader("no")); err != nil {
			return err
		}
		return foreman.Permanent(context.DeadlineExceeded)
	}), foreman.Options{})
	a := newAPI(t, f)
	start(t, f)
	j := a.post("/jobs", `{"model":"m"}`, "Prefer", "wait=30").is(http.StatusOK).job()
	r := a.get(j.Links["artifacts"] + "/log.txt").is(http.StatusOK)
	require.Equal(t, "private, no-cache", r.header.Get("Cache-Control"))
}

func TestRemovedArtifactsOverHTTP(t *testing.T) {
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		_, err := task.Artifact("out.txt", "text/plain", strings.NewReader("hello"))
		return err
	}), foreman.Options{ArtifactTTL: time.Microsecond})
	a := newAPI(t, f)
	start(t, f)
	j := a.post("/jobs", `{"model":"m"}`, "Prefer", "wait=30").is(http.StatusOK).job()
	path := j.Links["artifacts"] + "/out.txt"
	require.Eventually(t, func() bool { return a.get(path).status == http.StatusGone }, 30*time.Second, time.Millisecond)
	a.get(path).fails(http.StatusGone, foreman.ErrGone)
	a.do("HEAD", path, "").is(http.StatusGone)
	r := a.get(j.Links["self"]).is(http.StatusOK)
	r.golden("artifact_removed")
	require.True(t, r.job().Artifacts[0].DataRemoved)
	require.Nil(t, r.job().Artifacts[0].Data)
}
