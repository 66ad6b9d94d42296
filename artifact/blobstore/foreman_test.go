package blobstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/internal/s3test"
)

// In a process that is to be killed, these name its directory and its bucket.
const (
	childDir = "BLOBSTORE_TEST_DIR"
	childURL = "BLOBSTORE_TEST_URL"
)

var quiet = slog.New(slog.DiscardHandler)

// start runs a Foreman until the end of the test.
func start(t *testing.T, b foreman.Backend, o foreman.Options) *foreman.Foreman {
	t.Helper()
	o.Logger = quiet
	f, err := foreman.New(b, &o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, f.Close())
	})
	return f
}

// finished runs a job to its end, and returns its id.
func finished(t *testing.T, f *foreman.Foreman) ulid.ULID {
	t.Helper()
	job, err := f.Submit(t.Context(), foreman.Spec{Model: "m", Input: json.RawMessage(`1`)})
	require.NoError(t, err)
	for _, err := range f.Watch(t.Context(), job.ID, 0) {
		require.NoError(t, err)
	}
	job, err = f.Status(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, foreman.Done, job.State, "%v", job.Error)
	return job.ID
}

// writes is a backend whose jobs write an artifact.
func writes(name, data string) foreman.Backend {
	return foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		_, err := task.Artifact(name, "text/plain", strings.NewReader(data))
		return err
	})
}

func fetch(t *testing.T, url string, header ...string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body
}

// A Foreman whose artifacts are in S3: they come by URL, whole and in ranges.
func TestForemanOverS3(t *testing.T) {
	server := s3test.Start(t)
	url := server.Bucket(t, "artifacts") + "&prefix=desk/"
	large := bytes.Repeat([]byte("0123456789"), 1<<20)
	backend := foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		if _, err := task.Artifact("Large.bin", "", bytes.NewReader(large)); err != nil {
			return err
		}
		_, err := task.Artifact("small.txt", "text/plain", strings.NewReader("small"))
		return err
	})
	f := start(t, backend, foreman.Options{Dir: t.TempDir(), Artifacts: open(t, url, nil)})
	web := httptest.NewServer(f.Handler())
	defer web.Close()
	at := web.URL + "/jobs/" + finished(t, f).String()
	status, body := fetch(t, at+"/artifacts")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, string(body), `"data":"small"`)

	status, body = fetch(t, at+"/artifacts/Large.bin")
	require.Equal(t, http.StatusOK, status)
	require.True(t, bytes.Equal(large, body))
	for header, want := range map[string][]byte{
		"bytes=0-9":             large[:10],
		"bytes=5000003-5000007": large[5000003:5000008],
		"bytes=3-4000000":       large[3:4000001],
		"bytes=-7":              large[len(large)-7:],
	} {
		status, body = fetch(t, at+"/artifacts/Large.bin", "Range", header)
		require.Equal(t, http.StatusPartialContent, status)
		require.True(t, bytes.Equal(want, body), header)
	}
	status, _ = fetch(t, at+"/artifacts/Large.bin", "Range", "bytes=99999999-")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, status)
}

// When the time of artifacts is over, the entries are left, and nothing in the bucket.
func TestForemanRemovesFromS3(t *testing.T) {
	s := open(t, s3test.Start(t).Bucket(t, "artifacts"), alone)
	f := start(t, writes("a.txt", "short-lived"), foreman.Options{
		Dir: t.TempDir(), Artifacts: s, ArtifactTTL: time.Millisecond, Lease: 200 * time.Millisecond,
	})
	web := httptest.NewServer(f.Handler())
	defer web.Close()
	at := web.URL + "/jobs/" + finished(t, f).String()
	require.Eventually(t, func() bool {
		status, _ := fetch(t, at+"/artifacts/a.txt")
		return status == http.StatusGone
	}, 30*time.Second, 10*time.Millisecond)
	_, body := fetch(t, at)
	require.Contains(t, string(body), `"data_removed":true`)
	require.Eventually(t, func() bool {
		found := 0
		_, err := s.Sweep(t.Context(), func(string, uint64) (bool, error) { found++; return true, nil })
		require.NoError(t, err)
		return found == 0
	}, 30*time.Second, 10*time.Millisecond)
}

// What is not in any job goes when a process starts, and nothing else does; while the
// bucket is away, the answer is that, and not that there is no artifact.
func TestForemanSweepsS3(t *testing.T) {
	server := s3test.Start(t)
	url := server.Bucket(t, "artifacts")
	backend := writes("a.txt", "kept")
	s := open(t, url, alone)
	dir := t.TempDir()
	var job ulid.ULID
	t.Run("before", func(t *testing.T) {
		job = finished(t, start(t, backend, foreman.Options{Dir: dir, Artifacts: s}))
	})
	orphans := []artifact.Key{key(1, 1, "a"), {Job: job.String(), Run: 999, Name: "a.txt"}}
	for _, k := range orphans {
		put(t, s, k, "x")
	}
	f := start(t, backend, foreman.Options{Dir: dir, Artifacts: s})
	for _, k := range orphans {
		require.Eventually(t, func() bool {
			_, err := s.Open(t.Context(), k)
			return err != nil
		}, 30*time.Second, 10*time.Millisecond, "%v", k)
	}
	web := httptest.NewServer(f.Handler())
	defer web.Close()
	status, body := fetch(t, web.URL+"/jobs/"+job.String()+"/artifacts/a.txt")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "kept", string(body))

	server.Stop()
	status, body = fetch(t, web.URL+"/jobs/"+job.String()+"/artifacts/a.txt")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotContains(t, string(body), "127.0.0.1", "what is inside stays there")
}

// A process is killed in the middle of an answer; another one, with no disk in common
// but the queue, finds what had been generated.
func TestPartialOutputOfAKilledProcess(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		generateUntilKilled(dir, os.Getenv(childURL))
	}
	server := s3test.Start(t)
	url := server.Bucket(t, "artifacts")
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	id, err := ulid.ParseStrict(strings.TrimSpace(line))
	require.NoError(t, err, line)

	s := open(t, url, nil)
	var had int
	require.Eventually(t, func() bool {
		r, err := s.OpenSpool(id.String(), 2)
		if err != nil {
			require.ErrorIs(t, err, artifact.ErrNotFound)
			return false
		}
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		had = len(data)
		return had > 1<<20
	}, 60*time.Second, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "it was killed")
	require.NoDirExists(t, filepath.Join(dir, "artifacts"))

	hold := foreman.BackendFunc(func(ctx context.Context, _ *foreman.Task) error {
		<-ctx.Done()
		return ctx.Err()
	})
	f := start(t, hold, foreman.Options{Dir: dir, Artifacts: s, DrainTimeout: time.Millisecond})
	require.Eventually(t, func() bool {
		list, err := f.Artifacts(t.Context(), id)
		require.NoError(t, err)
		return len(list) == 1
	}, 60*time.Second, 10*time.Millisecond)
	r, a, err := f.OpenArtifact(t.Context(), id, "partial")
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.EqualValues(t, a.Size, len(data))
	require.GreaterOrEqual(t, len(data), had)
	require.Equal(t, strings.Repeat("generated\n", len(data)/10+1)[:len(data)], string(data))
	require.Eventually(t, func() bool {
		_, err = s.OpenSpool(id.String(), 2)
		return err != nil
	}, 60*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

// generateUntilKilled runs a job that does not end, and prints its id.
func generateUntilKilled(dir, url string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := blobstore.Open(ctx, url, nil)
	var f *foreman.Foreman
	if err == nil {
		f, err = foreman.New(foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
			for range 200_000 {
				_, _ = task.Write([]byte("generated\n"))
			}
			<-ctx.Done()
			return ctx.Err()
		}), &foreman.Options{Dir: dir, Artifacts: s, Logger: quiet})
	}
	var job *foreman.Job
	if err == nil {
		go func() { _ = f.Run(ctx) }()
		job, err = f.Submit(ctx, foreman.Spec{Model: "m", Input: json.RawMessage(`1`)})
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(job.ID)
	<-ctx.Done()
	os.Exit(1)
}
