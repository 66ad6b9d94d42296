package foreman_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

func queuedSpec(hook string) foreman.Spec {
	return foreman.Spec{Model: "m", Input: []byte(`"later"`), StateWebhookURL: hook, Owner: "ann", IdempotencyKey: "key"}
}

// house is a Foreman with jobs of all kinds, whose backend does what the input says.
func house(t *testing.T, hook string) (f *foreman.Foreman, jobs map[string]ulid.ULID) {
	f = newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		_, _ = task.Write([]byte("as far as it came"))
		for name, size := range map[string]int{"small": 10, "large": 1 << 20} {
			if _, err := task.Artifact(name, "text/plain", strings.NewReader(strings.Repeat(name[:1], size))); err != nil {
				return err
			}
		}
		if string(task.Spec.Input) == `"fail"` {
			return foreman.Permanent(errors.New("as it was told to"))
		}
		return task.SetResult(map[string]int{"answer": 42})
	}), foreman.Options{Webhook: foreman.WebhookOptions{Guard: loopback}})
	jobs = map[string]ulid.ULID{}
	stop := start(t, f)
	for _, input := range []string{"done", "fail"} {
		jobs[input] = submit(t, f, foreman.Spec{Input: []byte(`"` + input + `"`), Labels: map[string]string{"is": input}})
		await(t, f, jobs[input])
	}
	stop()
	jobs["queued"] = submit(t, f, queuedSpec(hook))
	jobs["delayed"] = submit(t, f, foreman.Spec{RunAt: time.Now().Add(time.Hour), Priority: 7})
	require.NoError(t, f.Pause(t.Context(), "some lane"))
	return f, jobs
}

// same makes sure that two Foremans tell the same of a job.
func same(t *testing.T, want, got *foreman.Foreman, id ulid.ULID) {
	t.Helper()
	was, is := status(t, want, id), status(t, got, id)
	for _, j := range []*foreman.Job{was, is} {
		if j.Queue != nil { // what a Foreman knows of times of runs is its own
			j.Queue.ETA, j.Queue.Margin = time.Time{}, 0
		}
	}
	require.Equal(t, was, is)
	for _, a := range was.Artifacts {
		require.Equal(t, read(t, want, id, a.Name), read(t, got, id, a.Name))
	}
	var events [2][]foreman.Event
	for i, f := range []*foreman.Foreman{want, got} {
		page, err := f.Feed(t.Context(), foreman.FeedQuery{Limit: 1000})
		require.NoError(t, err)
		for _, e := range page.Events {
			if e.JobID == id {
				e.Position = 0
				events[i] = append(events[i], e)
			}
		}
	}
	require.NotEmpty(t, events[0])
	require.Equal(t, events[0], events[1])
}

func read(t *testing.T, f *foreman.Foreman, id ulid.ULID, name string) string {
	t.Helper()
	r, _, err := f.OpenArtifact(t.Context(), id, name)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}

func TestMove(t *testing.T) {
	hooks := newReceiver(t, "")
	from, jobs := house(t, hooks.URL)
	var file bytes.Buffer
	moved, err := from.Export(t.Context(), &file)
	require.NoError(t, err)
	require.Equal(t, foreman.Moved{
		Jobs: 4, Events: 2*3 + 2, Deliveries: 1, Pending: 1, Artifacts: 5, Bytes: 2*(10+1<<20) + int64(len("as far as it came")),
		PausedLanes: 1,
	}, moved)

	to := newForeman(t, newGate(), foreman.Options{Webhook: foreman.WebhookOptions{Guard: loopback}})
	for _, once := range []bool{false, true} { // once more changes nothing
		if once {
			moved.Existing, moved.ExistingArtifacts = moved.Jobs, moved.Artifacts
		}
		again, err := to.Import(t.Context(), bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		require.Equal(t, moved, again)
		for _, id := range jobs {
			same(t, from, to, id)
		}
	}
	q, err := to.Queue(t.Context())
	require.NoError(t, err)
	var paused []string
	for _, l := range q.Lanes {
		if l.Paused {
			paused = append(paused, l.Lane)
		}
	}
	require.Equal(t, []string{"some lane"}, paused)
	require.Equal(t, jobs["queued"], submit(t, to, queuedSpec(hooks.URL)), "the key is still taken")
	start(t, to)
	require.Equal(t, jobs["queued"].String(), hooks.wait(t, 1)[0].JobID, "what was still to be sent is sent")
}

// An export that was cut short or changed is refused, and nothing of it is added.
func TestMoveOfWhatIsNotWhole(t *testing.T) {
	from, _ := house(t, "")
	var file bytes.Buffer
	_, err := from.Export(t.Context(), &file)
	require.NoError(t, err)
	whole := file.Bytes()
	to := newForeman(t, newGate(), foreman.Options{})
	refuse := func(b []byte, what string) {
		t.Helper()
		_, err := to.Import(t.Context(), bytes.NewReader(b))
		require.ErrorIs(t, err, foreman.ErrMalformed, what)
		if what == "cut short" {
			require.ErrorContains(t, err, "export again")
		}
		list, err := to.List(t.Context(), foreman.Query{})
		require.NoError(t, err)
		require.Empty(t, list.Jobs, what)
	}
	for _, n := range []int{0, 1, 511, 512, len(whole) / 2, len(whole) - 2048} {
		refuse(whole[:n], "cut short")
	}
	for _, what := range []string{"ssssssssss", "llllllllll", `"pending":0`, "some lane", `"is":"fail"`, `"sha256":"`} {
		at := bytes.Index(whole, []byte(what))
		require.Positive(t, at, what)
		changed := bytes.Clone(whole)
		changed[at+len(what)-1]++
		refuse(changed, what)
	}
}

// breaking is an artifact store that takes so many.
type breaking struct {
	artifact.Store
	left int
}

func (b *breaking) Put(ctx context.Context, k artifact.Key, contentType string, r io.Reader, limit int64) (artifact.Info, error) {
	if b.left--; b.left < 0 {
		return artifact.Info{}, errors.New("no space left")
	}
	return b.Store.Put(ctx, k, contentType, r, limit)
}

// An import that was cut off is made again, and then everything is there.
func TestMoveIsMadeAgain(t *testing.T) {
	from, jobs := house(t, "")
	var file bytes.Buffer
	moved, err := from.Export(t.Context(), &file)
	require.NoError(t, err)
	root := t.TempDir()
	for puts := range moved.Artifacts {
		name := filepath.Join(root, "artifacts")
		require.NoError(t, os.MkdirAll(name, 0o700))
		dir, err := artifact.OpenDir(name)
		require.NoError(t, err)
		to := newForeman(t, newGate(), foreman.Options{Dir: root, Artifacts: &breaking{dir, puts}})
		_, err = to.Import(t.Context(), bytes.NewReader(file.Bytes()))
		require.ErrorContains(t, err, "no space left")
		require.NoError(t, to.Close())
		require.NoError(t, dir.Close())
	}
	to := newForeman(t, newGate(), foreman.Options{Dir: root})
	_, err = to.Import(t.Context(), bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	for _, id := range jobs {
		same(t, from, to, id)
	}
}

// An import whose artifacts went to the wrong place is made again with the right one, which
// gets what the jobs there still have.
func TestMoveOfArtifactsAlone(t *testing.T) {
	from, jobs := house(t, "")
	var file bytes.Buffer
	moved, err := from.Export(t.Context(), &file)
	require.NoError(t, err)
	s := openStore(t)
	wrong := newForeman(t, newGate(), foreman.Options{Store: s})
	_, err = wrong.Import(t.Context(), bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	_, err = wrong.Retry(t.Context(), jobs["fail"]) // which takes its artifacts from it
	require.NoError(t, err)

	const ofDone = 2 // the job "done" has them still
	dir, err := artifact.OpenDir(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	right := newForeman(t, newGate(), foreman.Options{Store: s, Artifacts: dir})
	moved.Existing, moved.ExistingArtifacts = moved.Jobs, moved.Artifacts-ofDone
	again, err := right.Import(t.Context(), bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	require.Equal(t, moved, again)
	same(t, from, right, jobs["done"])
	removed, err := dir.Sweep(t.Context(), func(job string, _ uint64) (bool, error) { return job == jobs["done"].String(), nil })
	require.NoError(t, err)
	require.Zero(t, removed, "nothing that no job has")
}

func TestMoveWhileItRuns(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	stop := start(t, f)
	submit(t, f, foreman.Spec{})
	<-g.began
	_, err := f.Export(t.Context(), io.Discard)
	require.ErrorIs(t, err, foreman.ErrRunning)
	g.end <- nil
	stop()
	_, err = f.Export(t.Context(), io.Discard)
	require.NoError(t, err)
}

// An export is refused while another process that shares the store runs, whatever it does.
func TestMoveWhileAnotherRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{Store: openStore(t)}
		join := func() *foreman.Foreman {
			return newForeman(t, newGate(), foreman.Options{Store: shared.join(), Dir: t.TempDir(), Lease: time.Minute})
		}
		runs, too, exports := join(), join(), join()
		stop, stopToo := start(t, runs), start(t, too)
		synctest.Wait()
		export := func() error {
			_, err := exports.Export(t.Context(), io.Discard)
			return err
		}
		require.ErrorIs(t, export(), foreman.ErrRunning)
		stop()
		time.Sleep(time.Minute) // the other one takes over being at work
		require.ErrorIs(t, export(), foreman.ErrRunning)
		stopToo()
		require.NoError(t, export())
		require.NoError(t, export())
	})
}
