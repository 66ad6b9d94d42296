package foreman_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

func TestAJobFromSubmitToDone(t *testing.T) {
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		require.Equal(t, 1, task.Attempt)
		require.JSONEq(t, `{"a":1}`, string(task.Spec.Input))
		if _, err := task.Artifact("out.txt", "text/plain", bytes.NewReader([]byte("hello"))); err != nil {
			return err
		}
		return task.SetResult(map[string]int{"answer": 42})
	}), foreman.Options{})
	id := submit(t, f, foreman.Spec{Input: []byte(`{"a":1}`), Labels: map[string]string{"k": "v"}})
	j := status(t, f, id)
	require.Equal(t, foreman.Queued, j.State)
	require.Equal(t, &foreman.QueueStatus{Position: 1, WaitingFor: "slot"}, j.Queue)

	start(t, f)
	j = await(t, f, id)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 1, j.Attempt)
	require.JSONEq(t, `{"answer":42}`, string(j.Result))
	require.Nil(t, j.Error)
	require.Equal(t, map[string]string{"k": "v"}, j.Spec.Labels)
	require.Len(t, j.Artifacts, 1)
	require.Equal(t, "out.txt", j.Artifacts[0].Name)
	require.EqualValues(t, 5, j.Artifacts[0].Size)
	require.Equal(t, []foreman.State{foreman.Queued, foreman.Working, foreman.Done}, states(t, f, id))
}

func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name     string
		fail     func(attempt int) error
		state    foreman.State
		attempts int
		errType  foreman.ErrorType
	}{
		{"a passing fault is tried again", func(n int) error {
			if n < 3 {
				return broken
			}
			return nil
		}, foreman.Done, 3, ""},
		{"until no attempt is left", func(int) error { return broken }, foreman.Failed, 3, foreman.BackendError},
		{"a permanent one is not", func(int) error { return foreman.Permanent(broken) }, foreman.Failed, 1, foreman.BackendRejected},
		{"a type of its own", func(int) error {
			return fmt.Errorf("wrapped: %w", &foreman.Failure{Type: foreman.Incomplete, Err: broken})
		}, foreman.Failed, 3, foreman.Incomplete},
		{"a panic fails the job at once", func(int) error { panic("oh no") }, foreman.Failed, 1, foreman.Panicked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
				return tc.fail(task.Attempt)
			}), foreman.Options{RetryDelay: time.Millisecond})
			start(t, f)
			j := await(t, f, submit(t, f, foreman.Spec{}))
			require.Equal(t, tc.state, j.State)
			require.Equal(t, tc.attempts, j.Attempt)
			if tc.errType == "" {
				require.Nil(t, j.Error)
				return
			}
			require.Equal(t, tc.errType, j.Error.Type)
			require.Equal(t, tc.attempts, j.Error.Attempt)
			// The panic of one job must not have harmed the next.
			require.Equal(t, tc.state, await(t, f, submit(t, f, foreman.Spec{})).State)
		})
	}
}

func TestRetryDelaysGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun []time.Time
		f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
			begun = append(begun, time.Now())
			if task.Attempt == 5 {
				return foreman.RetryAfter(errors.New("later"), time.Hour)
			}
			return errors.New("again")
		}), foreman.Options{RetryDelay: time.Second, MaxRetryDelay: 4 * time.Second, JobTTL: -1, ArtifactTTL: -1})
		start(t, f)
		await(t, f, submit(t, f, foreman.Spec{MaxAttempts: 6}))
		require.Len(t, begun, 6)
		for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second, time.Hour} {
			require.InDelta(t, want, begun[i+1].Sub(begun[i]), 0.2*float64(want)+float64(50*time.Millisecond), "gap %d", i+1)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Run("queued", func(t *testing.T) {
		f := newForeman(t, newGate(), foreman.Options{})
		id := submit(t, f, foreman.Spec{})
		j, err := f.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, foreman.Canceled, j.State)
		require.Equal(t, foreman.CanceledError, j.Error.Type)
		start(t, f)
		require.Equal(t, []foreman.State{foreman.Queued, foreman.Canceled}, states(t, f, id))
	})
	t.Run("running", func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		<-g.began
		j, err := f.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.NotZero(t, j.CancelRequestedAt)
		require.Equal(t, foreman.Canceled, await(t, f, id).State)
		j, err = f.Cancel(t.Context(), id)
		require.NoError(t, err, "again: unchanged")
		require.Equal(t, foreman.Canceled, j.State)
	})
	t.Run("a result that comes all the same counts", func(t *testing.T) {
		began := make(chan struct{})
		f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
			close(began)
			<-ctx.Done()
			return task.SetResult("in time")
		}), foreman.Options{})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		<-began
		_, err := f.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, foreman.Done, await(t, f, id).State)
	})
	t.Run("unknown", func(t *testing.T) {
		f := newForeman(t, newGate(), foreman.Options{})
		_, err := f.Cancel(t.Context(), [16]byte{1})
		require.ErrorIs(t, err, foreman.ErrNotFound)
	})
	t.Run("racing with the end", func(t *testing.T) {
		f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, _ *foreman.Task) error { return ctx.Err() }), foreman.Options{PerSlot: 4})
		start(t, f)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				id := submit(t, f, foreman.Spec{})
				_, err := f.Cancel(t.Context(), id)
				require.NoError(t, err)
				require.Contains(t, []foreman.State{foreman.Done, foreman.Canceled}, await(t, f, id).State)
			})
		}
		wg.Wait()
	})
}

func TestRetryOfAnEndedJob(t *testing.T) {
	var fail atomic.Bool
	fail.Store(true)
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		if _, err := task.Artifact("log", "", bytes.NewReader([]byte("x"))); err != nil {
			return err
		}
		if fail.Load() {
			return foreman.Permanent(errors.New("no"))
		}
		return nil
	}), foreman.Options{})
	start(t, f)
	id := submit(t, f, foreman.Spec{})
	require.Equal(t, foreman.Failed, await(t, f, id).State)
	fail.Store(false)
	_, err := f.Retry(t.Context(), id)
	require.NoError(t, err)
	j := await(t, f, id)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 1, j.Attempt, "a new round")
	require.Nil(t, j.Error)
	require.Equal(t, []foreman.State{
		foreman.Queued, foreman.Working, foreman.Failed, foreman.Queued, foreman.Working, foreman.Done,
	}, states(t, f, id)[:6])
	_, err = f.Retry(t.Context(), id)
	require.ErrorIs(t, err, foreman.ErrState)
}

func TestTimeouts(t *testing.T) {
	t.Run("queue_timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			f := newForeman(t, g, foreman.Options{})
			start(t, f)
			blocker := submit(t, f, foreman.Spec{RunTimeout: -1})
			<-g.began
			begun := time.Now()
			j := await(t, f, submit(t, f, foreman.Spec{QueueTimeout: time.Minute}))
			require.Equal(t, foreman.Failed, j.State)
			require.Equal(t, foreman.QueueTimeout, j.Error.Type)
			require.InDelta(t, time.Minute, time.Since(begun), float64(time.Second))
			g.end <- nil
			await(t, f, blocker)
		})
	})
	t.Run("run_timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			f := newForeman(t, g, foreman.Options{MaxAttempts: 2})
			start(t, f)
			j := await(t, f, submit(t, f, foreman.Spec{RunTimeout: time.Minute}))
			require.Equal(t, foreman.Failed, j.State)
			require.Equal(t, foreman.RunTimeout, j.Error.Type)
			require.Equal(t, 2, j.Attempt)
		})
	})
	t.Run("run_at", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			f := newForeman(t, g, foreman.Options{})
			start(t, f)
			at := time.Now().Add(3 * time.Hour)
			id := submit(t, f, foreman.Spec{RunAt: at, QueueTimeout: time.Minute})
			require.Equal(t, "run_at", status(t, f, id).Queue.WaitingFor)
			<-g.began
			require.WithinDuration(t, at, time.Now(), time.Second)
			g.end <- nil
			await(t, f, id)
		})
	})
}

func TestPriorityThenAge(t *testing.T) {
	var order []string
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		order = append(order, string(task.Spec.Input))
		return nil
	}), foreman.Options{})
	for i := range 2 {
		for _, p := range []int{0, 5, -5} {
			submit(t, f, foreman.Spec{Priority: p, Input: fmt.Appendf(nil, `"%d/%d"`, p, i)})
		}
	}
	lowest := submit(t, f, foreman.Spec{Priority: -100})
	start(t, f)
	await(t, f, lowest)
	require.Equal(t, []string{`"5/0"`, `"5/1"`, `"0/0"`, `"0/1"`, `"-5/0"`, `"-5/1"`, "null"}, order)
}

func TestSlots(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{Slots: 2, PerSlot: 3})
	start(t, f)
	for range 10 {
		for _, m := range []string{"a", "b", "c"} {
			submit(t, f, foreman.Spec{Model: m})
		}
	}
	running := map[string]int{}
	for range 6 {
		running[(<-g.began).Spec.Model]++
	}
	require.Equal(t, map[string]int{"a": 3, "b": 3}, running, "two lanes, three jobs of each")
	select {
	case <-g.began:
		require.Fail(t, "one too many")
	default:
	}
	for range 30 {
		g.end <- nil
	}
	for range 24 {
		<-g.began
	}
}

func TestDrain(t *testing.T) {
	t.Run("what runs may end", func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{})
		stop := start(t, f)
		id := submit(t, f, foreman.Spec{})
		second := submit(t, f, foreman.Spec{})
		<-g.began
		go func() { g.end <- nil }()
		stop()
		require.Equal(t, foreman.Done, status(t, f, id).State)
		require.Equal(t, foreman.Queued, status(t, f, second).State)
		require.Zero(t, status(t, f, second).Attempt)
	})
	t.Run("but not for ever, and that attempt does not count", func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{DrainTimeout: time.Millisecond, MaxAttempts: 1})
		stop := start(t, f)
		id := submit(t, f, foreman.Spec{})
		<-g.began
		stop()
		j := status(t, f, id)
		require.Equal(t, foreman.Queued, j.State)
		require.Zero(t, j.Attempt)
		start(t, f)
		require.Equal(t, 1, (<-g.began).Attempt)
		g.end <- nil
		require.Equal(t, foreman.Done, await(t, f, id).State)
	})
	t.Run("what was claimed ahead goes back without counting", func(t *testing.T) {
		g := newGate()
		quick := true
		f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
			if quick && string(task.Spec.Input) == "null" {
				return nil
			}
			return g.Run(ctx, task)
		}), foreman.Options{DrainTimeout: time.Millisecond})
		var all []foreman.Spec
		for range 300 {
			all = append(all, foreman.Spec{})
		}
		all = append(all, foreman.Spec{Input: []byte("1")})
		for range 300 {
			all = append(all, foreman.Spec{Input: []byte("2")})
		}
		for _, s := range all {
			submit(t, f, s)
		}
		stop := start(t, f)
		<-g.began
		stop()
		page, err := f.List(t.Context(), foreman.Query{State: foreman.Queued, Limit: 1000})
		require.NoError(t, err)
		require.Len(t, page.Jobs, 301)
		for _, j := range page.Jobs {
			require.Zero(t, j.Attempt)
		}
	})
}

func TestRunTwice(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	submit(t, f, foreman.Spec{})
	<-g.began
	require.ErrorIs(t, f.Run(t.Context()), foreman.ErrRunning)
	g.end <- nil
}

func TestIdempotencyKey(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	s := foreman.Spec{Model: "m", Input: []byte("1"), IdempotencyKey: "k", Labels: map[string]string{"a": "b", "c": "d"}}
	first, err := f.Submit(t.Context(), s)
	require.NoError(t, err)
	for range 10 {
		again, err := f.Submit(t.Context(), s)
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
	}
	other := s
	other.Input = []byte("2")
	_, err = f.Submit(t.Context(), other)
	require.ErrorIs(t, err, foreman.ErrKeyReused)
	other.Owner = "somebody"
	j, err := f.Submit(t.Context(), other)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, j.ID)
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
			_, err := task.Artifact("a", "", bytes.NewReader([]byte("x")))
			return err
		}), foreman.Options{JobTTL: 4 * time.Hour, ArtifactTTL: time.Hour})
		start(t, f)
		waiting := submit(t, f, foreman.Spec{RunAt: time.Now().Add(30 * time.Hour)})
		id := submit(t, f, foreman.Spec{})
		await(t, f, id)
		r, _, err := f.OpenArtifact(t.Context(), id, "a")
		require.NoError(t, err)
		require.NoError(t, r.Close())

		time.Sleep(time.Hour + time.Minute) // the bubble's clock
		j := status(t, f, id)
		require.True(t, j.Artifacts[0].Removed)
		require.NotEmpty(t, j.Artifacts[0].SHA256, "the entry stays")
		_, _, err = f.OpenArtifact(t.Context(), id, "a")
		require.ErrorIs(t, err, foreman.ErrGone)

		time.Sleep(3 * time.Hour)
		_, err = f.Status(t.Context(), id)
		require.ErrorIs(t, err, foreman.ErrNotFound)
		require.Equal(t, foreman.Queued, status(t, f, waiting).State, "nothing active is pruned")
	})
}

func TestDelete(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	id := submit(t, f, foreman.Spec{})
	<-g.began
	require.ErrorIs(t, f.Delete(t.Context(), id), foreman.ErrState)
	g.end <- nil
	await(t, f, id)
	require.NoError(t, f.Delete(t.Context(), id))
	require.ErrorIs(t, f.Delete(t.Context(), id), foreman.ErrNotFound)
}

// What was claimed ahead for jobs that were quick goes back when one is slow: nothing is
// held up behind it, and nothing says that it works when it does not.
func TestASlowJobAmongQuickOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
			if string(task.Spec.Input) == "null" {
				time.Sleep(time.Millisecond)
				return nil
			}
			return g.Run(ctx, task)
		}), foreman.Options{})
		for range 300 {
			submit(t, f, foreman.Spec{})
		}
		for range 12 {
			submit(t, f, foreman.Spec{Input: []byte(`"slow"`)})
		}
		start(t, f)
		<-g.began
		time.Sleep(time.Second)
		page, err := f.List(t.Context(), foreman.Query{State: foreman.Working})
		require.NoError(t, err)
		require.Len(t, page.Jobs, 1, "only the one that runs")
		page, err = f.List(t.Context(), foreman.Query{State: foreman.Queued})
		require.NoError(t, err)
		require.Len(t, page.Jobs, 11)
		for _, j := range page.Jobs {
			require.Zero(t, j.Attempt)
		}
		j, err := f.Cancel(t.Context(), page.Jobs[0].ID)
		require.NoError(t, err)
		require.Equal(t, foreman.Canceled, j.State, "at once")

		urgent := submit(t, f, foreman.Spec{Priority: 100, Input: []byte(`"urgent"`)})
		called := make(chan error, 1)
		go func() {
			called <- f.Do(t.Context(), foreman.Spec{Model: "m"}, func(context.Context, foreman.Turn) error {
				require.Empty(t, g.began, "before jobs of the same priority")
				return nil
			})
		}()
		synctest.Wait()
		g.end <- nil
		require.Equal(t, urgent, (<-g.began).ID)
		g.end <- nil
		require.NoError(t, <-called)
		for range 10 {
			<-g.began
			g.end <- nil
		}
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun []time.Time
		f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error {
			begun = append(begun, time.Now())
			return errors.New("again")
		}), foreman.Options{RetryDelay: time.Hour, MaxRetryDelay: time.Hour, JobTTL: -1, ArtifactTTL: -1})
		start(t, f)
		await(t, f, submit(t, f, foreman.Spec{MaxAttempts: 30, RunTimeout: -1}))
		var shortest, longest time.Duration
		for i := range begun[1:] {
			gap := begun[i+1].Sub(begun[i])
			if shortest == 0 || gap < shortest {
				shortest = gap
			}
			longest = max(longest, gap)
		}
		require.GreaterOrEqual(t, shortest, 48*time.Minute)
		require.LessOrEqual(t, longest, 72*time.Minute+time.Second)
		require.Greater(t, longest-shortest, 5*time.Minute, "not all at the same time")
	})
}

// brokenError panics when it is asked what it says.
type brokenError struct{}

func (brokenError) Error() string { panic("no text") }

// Whatever a backend does ends its attempt, and nothing else.
func TestBackendsThatMisbehave(t *testing.T) {
	for name, tc := range map[string]struct {
		run  func() error
		want foreman.ErrorType
	}{
		"a nil *Failure":           {func() error { var f *foreman.Failure; return f }, foreman.BackendError},
		"a failure without reason": {func() error { return &foreman.Failure{} }, foreman.BackendError},
		"an error that panics":     {func() error { return brokenError{} }, foreman.Panicked},
		"the end of its goroutine": {func() error { runtime.Goexit(); return nil }, foreman.Panicked},
		"a panic with nil":         {func() error { panic(nil) }, foreman.Panicked},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
				if string(task.Spec.Input) != "null" {
					return nil
				}
				return tc.run()
			}), foreman.Options{MaxAttempts: 1})
			start(t, f)
			j := await(t, f, submit(t, f, foreman.Spec{}))
			require.Equal(t, foreman.Failed, j.State)
			require.Equal(t, tc.want, j.Error.Type)
			require.Equal(t, foreman.Done, await(t, f, submit(t, f, foreman.Spec{Input: []byte("1")})).State)
		})
	}
}

// Two slots, and a job for each of two lanes that become due together: both start.
func TestTwoLanesDueTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{Slots: 2})
		start(t, f)
		for range 3 {
			at := time.Now().Add(time.Minute)
			submit(t, f, foreman.Spec{Model: "b", RunAt: at})
			submit(t, f, foreman.Spec{Model: "c", RunAt: at})
			<-g.began
			<-g.began
			require.WithinDuration(t, at, time.Now(), 500*time.Millisecond)
			g.end <- nil
			g.end <- nil
		}
	})
}
