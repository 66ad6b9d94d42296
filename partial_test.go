package foreman_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

const plainText = "text/plain; charset=utf-8"

// partial is the content type and the data of the artifact partial; "" if there is none.
func partial(t *testing.T, f *foreman.Foreman, id ulid.ULID) (contentType, data string) {
	t.Helper()
	list, err := f.Artifacts(t.Context(), id)
	require.NoError(t, err)
	for _, a := range list {
		if a.Name == "partial" {
			r, _, err := f.OpenArtifact(t.Context(), id, "partial")
			require.NoError(t, err)
			b, err := io.ReadAll(r)
			require.NoError(t, errors.Join(err, r.Close()))
			require.EqualValues(t, len(b), a.Size)
			return a.ContentType, string(b)
		}
	}
	return "", ""
}

// left lists the files of artifacts and spools below a directory.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "artifacts"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" && d.Name() != "queue" {
			names = append(names, filepath.Base(path))
		}
		return err
	}))
	return names
}

// However an attempt ends that does not end well, what it has generated is kept.
func TestPartial(t *testing.T) {
	for name, tc := range map[string]struct {
		spec  foreman.Spec
		end   func(t *testing.T, f *foreman.Foreman, g *gate, id ulid.ULID, stop func())
		state foreman.State
		err   foreman.ErrorType
	}{
		"an error of the backend": {
			spec: foreman.Spec{},
			end: func(_ *testing.T, _ *foreman.Foreman, g *gate, _ ulid.ULID, _ func()) {
				g.end <- errors.New("broken")
			},
			state: foreman.Queued, err: foreman.BackendError,
		},
		"the last error": {
			spec: foreman.Spec{MaxAttempts: 1},
			end: func(_ *testing.T, _ *foreman.Foreman, g *gate, _ ulid.ULID, _ func()) {
				g.end <- errors.New("broken")
			},
			state: foreman.Failed, err: foreman.BackendError,
		},
		"an answer without its end": {
			spec: foreman.Spec{},
			end: func(_ *testing.T, _ *foreman.Foreman, g *gate, _ ulid.ULID, _ func()) {
				g.end <- &foreman.Failure{Type: foreman.Incomplete, Err: errors.New("no end mark")}
			},
			state: foreman.Queued, err: foreman.Incomplete,
		},
		"a backend that is gone": {
			spec: foreman.Spec{},
			end: func(_ *testing.T, _ *foreman.Foreman, g *gate, _ ulid.ULID, _ func()) {
				g.end <- foreman.Unavailable(errors.New("gone"))
			},
			state: foreman.Queued, err: foreman.BackendUnavailable,
		},
		"its time": {
			spec:  foreman.Spec{RunTimeout: time.Minute},
			end:   func(*testing.T, *foreman.Foreman, *gate, ulid.ULID, func()) { time.Sleep(time.Minute) },
			state: foreman.Queued, err: foreman.RunTimeout,
		},
		"a cancel": {
			spec: foreman.Spec{},
			end: func(t *testing.T, f *foreman.Foreman, _ *gate, id ulid.ULID, _ func()) {
				_, err := f.Cancel(t.Context(), id)
				require.NoError(t, err)
			},
			state: foreman.Canceled, err: foreman.CanceledError,
		},
		"the end of a drain": {
			spec:  foreman.Spec{},
			end:   func(_ *testing.T, _ *foreman.Foreman, _ *gate, _ ulid.ULID, stop func()) { stop() },
			state: foreman.Queued, err: "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				g := newGate()
				f := newForeman(t, g, foreman.Options{Dir: dir, RetryDelay: time.Hour, DrainTimeout: time.Second})
				stop := start(t, f)
				id := submit(t, f, tc.spec)
				task := <-g.began
				say(task, "what was ")
				time.Sleep(2 * time.Second)
				say(task, "generated")
				tc.end(t, f, g, id, stop)
				synctest.Wait()
				say(task, ", and too late")
				j := status(t, f, id)
				require.Equal(t, tc.state, j.State)
				if tc.err != "" {
					require.Equal(t, tc.err, j.Error.Type)
				}
				ct, data := partial(t, f, id)
				require.Equal(t, "what was generated", data)
				require.Equal(t, plainText, ct)
				require.Len(t, left(t, dir), 1, "and no spool")
				require.NoError(t, f.Close())

				// It is there after a restart, and as long as the job or its artifacts.
				f = newForeman(t, g, foreman.Options{Dir: dir, RetryDelay: time.Hour, ArtifactTTL: time.Hour})
				stop = start(t, f)
				synctest.Wait() // for the sweep
				_, data = partial(t, f, id)
				require.Equal(t, "what was generated", data)
				stop()
				if tc.state == foreman.Queued {
					_, err := f.Cancel(t.Context(), id)
					require.NoError(t, err)
					_, data = partial(t, f, id)
					require.Equal(t, "what was generated", data, "canceled while it waits")
				}
				time.Sleep(71 * time.Hour) // the TTL of the first end may be three days
				start(t, f)
				time.Sleep(2 * time.Hour)
				_, _, err := f.OpenArtifact(t.Context(), id, "partial")
				require.ErrorIs(t, err, foreman.ErrGone)
				require.Empty(t, left(t, dir))
			})
		})
	}
}

// direct makes a request without a server, which a bubble has no use for.
func direct(t *testing.T, h http.Handler, path string) *reply {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, http.NoBody))
	return &reply{tb: t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

// A later attempt's partial output replaces an earlier one, nothing does not, and the
// whole makes it needless.
func TestPartialOfSeveralAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := newGate()
		f := newForeman(t, g, foreman.Options{Dir: dir, MaxAttempts: 10, RetryDelay: time.Minute})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		h := f.Handler()
		for _, tc := range []struct{ output, partial, contentType string }{
			{"", "", ""},
			{"first", "first", plainText},
			{"", "first", plainText},
			{"caf\u00e9 \u20ac\xe2\x82", "caf\u00e9 \u20ac", plainText},
			{"not text \xff\xe2\x82", "not text \xff\xe2\x82", "application/octet-stream"},
			{strings.Repeat("\u20ac", 100_000), strings.Repeat("\u20ac", 100_000), plainText},
		} {
			task := <-g.began
			say(task, tc.output)
			g.end <- errors.New("again")
			synctest.Wait()
			contentType, data := partial(t, f, id)
			require.Equal(t, tc.contentType, contentType)
			require.Equal(t, tc.partial, data)
			require.LessOrEqual(t, len(left(t, dir)), 1)
		}
		j := direct(t, h, "/jobs/"+id.String()).is(200).job()
		require.Len(t, j.Artifacts, 1)
		require.Equal(t, "/jobs/"+id.String()+"/artifacts/partial", j.Artifacts[0].URL)
		require.Equal(t, 300_000, len(direct(t, h, j.Artifacts[0].URL).is(200).body))
		require.Contains(t, string(direct(t, h, "/jobs/"+id.String()+"/artifacts").is(200).body), `"partial"`)

		task := <-g.began
		_, data := partial(t, f, id)
		require.Len(t, data, 300_000, "while another attempt runs")
		say(task, "whole")
		time.Sleep(2 * time.Second)
		require.Len(t, left(t, dir), 2, "spooled")
		g.end <- nil
		synctest.Wait()
		require.Equal(t, foreman.Done, status(t, f, id).State)
		_, data = partial(t, f, id)
		require.Empty(t, data)
		require.Empty(t, left(t, dir))
	})
}

// An artifact partial of the backend's own is kept in place of what was written.
func TestPartialOfTheBackendsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		end := make(chan error, 1)
		f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
			say(task, "tokens")
			for _, name := range []string{"other", "partial"} {
				if _, err := task.Artifact(name, "image/png", strings.NewReader("own")); err != nil {
					return err
				}
			}
			return <-end
		}), foreman.Options{Dir: dir, RetryDelay: time.Minute})
		start(t, f)
		for _, last := range []error{nil, errors.New("at last")} {
			id := submit(t, f, foreman.Spec{MaxAttempts: 2})
			end <- errors.New("again")
			synctest.Wait()
			contentType, data := partial(t, f, id)
			require.Equal(t, "image/png own", contentType+" "+data)
			require.Len(t, left(t, dir), 1)
			end <- last
			await(t, f, id)
			_, data = partial(t, f, id)
			require.Equal(t, "own", data)
			require.Len(t, status(t, f, id).Artifacts, 2)
			require.NoError(t, f.Delete(t.Context(), id))
			require.Empty(t, left(t, dir))
		}
	})
}

// Retry and Delete remove it with the rest.
func TestPartialIsRemoved(t *testing.T) {
	dir := t.TempDir()
	g := newGate()
	f := newForeman(t, g, foreman.Options{Dir: dir})
	start(t, f)
	id := submit(t, f, foreman.Spec{MaxAttempts: 1})
	for range 2 {
		say(<-g.began, "x")
		g.end <- errors.New("broken")
		await(t, f, id)
		require.Len(t, left(t, dir), 1)
		_, err := f.Retry(t.Context(), id)
		require.NoError(t, err)
		require.Empty(t, left(t, dir))
	}
	say(<-g.began, "x")
	g.end <- errors.New("broken")
	await(t, f, id)
	require.NoError(t, f.Delete(t.Context(), id))
	require.Empty(t, left(t, dir))
}

// Output is bounded, and that of an attempt that ends well within a second makes no file.
func TestSpoolsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := newGate()
		f := newForeman(t, g, foreman.Options{Dir: dir, MaxArtifact: 100_000})
		start(t, f)
		id := submit(t, f, foreman.Spec{MaxAttempts: 1})
		task := <-g.began
		say(task, "quick")
		time.Sleep(900 * time.Millisecond)
		require.Empty(t, left(t, dir))
		time.Sleep(200 * time.Millisecond)
		require.Len(t, left(t, dir), 1)
		text := numbers(1 << 20)
		for rest := text; rest != ""; rest = rest[1<<10:] {
			say(task, rest[:1<<10])
		}
		g.end <- errors.New("broken")
		await(t, f, id)
		_, data := partial(t, f, id)
		require.Equal(t, ("quick" + text)[:100_000], data)
	})
}

// A store without spools keeps nothing partial, and is no worse for it.
func TestPartialWithoutSpools(t *testing.T) {
	dir, err := artifact.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	g := newGate()
	f := newForeman(t, g, foreman.Options{Artifacts: struct{ artifact.Store }{dir}})
	start(t, f)
	id := submit(t, f, foreman.Spec{MaxAttempts: 1})
	say(<-g.began, "x")
	g.end <- errors.New("broken")
	require.Equal(t, foreman.Failed, await(t, f, id).State)
	_, data := partial(t, f, id)
	require.Empty(t, data)
}

// A disk that takes no spool costs the partial output and nothing else.
func TestPartialOfABrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := artifact.OpenDir(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, dir.Close()) })
		g := newGate()
		f := newForeman(t, g, foreman.Options{Artifacts: &noSpool{dir}})
		start(t, f)
		id := submit(t, f, foreman.Spec{MaxAttempts: 1})
		task := <-g.began
		for range 3 {
			say(task, "x")
			time.Sleep(2 * time.Second)
		}
		g.end <- errors.New("broken")
		require.Equal(t, foreman.Failed, await(t, f, id).State)
		_, data := partial(t, f, id)
		require.Empty(t, data)
	})
}

type noSpool struct{ *artifact.Dir }

func (*noSpool) CreateSpool(string, uint64) (io.WriteCloser, error) {
	return nil, errors.New("the disk is full")
}

// A webhook about an end that no attempt came to tells of what there is.
func TestPartialInWebhooks(t *testing.T) {
	hook := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{"secret"}})
	g := newGate()
	f := newForeman(t, g, foreman.Options{
		RetryDelay: time.Hour, Webhook: foreman.WebhookOptions{Guard: loopback, Secret: "secret"},
	})
	start(t, f)
	id := submit(t, f, foreman.Spec{StateWebhookURL: hook.URL(), WebhookEvents: []foreman.State{foreman.Canceled}})
	say(<-g.began, "so far")
	g.end <- errors.New("again")
	for e, err := range f.Watch(t.Context(), id, 2) {
		require.NoError(t, err)
		if e.State == foreman.Queued {
			break
		}
	}
	_, err := f.Cancel(t.Context(), id)
	require.NoError(t, err)
	told, err := hook.Wait(t.Context(), 1)
	require.NoError(t, err)
	require.Contains(t, string(told[0].Body), `"data":"so far"`)
}
