package foreman_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

func TestWatchSeesEverythingInOrder(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	id := submit(t, f, foreman.Spec{})
	task := <-g.began
	var got []string
	for e, err := range f.Watch(t.Context(), id, 0) {
		require.NoError(t, err)
		require.Equal(t, id, e.JobID)
		switch e.Type {
		case foreman.StateEvent:
			got = append(got, fmt.Sprintln(e.Sequence, e.PreviousState, e.State, e.Attempt))
			if e.State == foreman.Working { // the watcher is there now
				task.Progress(0.25, "a quarter")
				_, _ = task.Write([]byte("hello"))
				g.end <- nil
			}
		case foreman.ProgressEvent:
			got = append(got, fmt.Sprintln(e.Progress.Fraction, e.Progress.Message))
		case foreman.OutputEvent:
			got = append(got, string(e.Output))
		default:
			require.Fail(t, "unexpected", "%+v", e)
		}
	}
	require.Equal(t, []string{"1  queued 0\n", "2 queued working 1\n", "0.25 a quarter\n", "hello", "3 working done 1\n"}, got)
	for e, err := range f.Watch(t.Context(), id, 2) {
		require.NoError(t, err)
		require.EqualValues(t, 3, e.Sequence, "only what is above")
	}
	for e, err := range f.Watch(t.Context(), id, 3) {
		require.Fail(t, "nothing can follow the end", "%v %v", e, err)
	}
}

func TestWatchUnknownAndCanceled(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	for _, err := range f.Watch(t.Context(), [16]byte{1}, 0) {
		require.ErrorIs(t, err, foreman.ErrNotFound)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range f.Watch(ctx, submit(t, f, foreman.Spec{}), 0) {
		cancel()
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
}

func TestASlowWatcherFindsAGapAndSlowsNobody(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	id := submit(t, f, foreman.Spec{})
	task := <-g.began
	chunk := bytes.Repeat([]byte("x"), 100<<10)
	gaps, size := 0, 0
	for e, err := range f.Watch(t.Context(), id, 0) {
		require.NoError(t, err)
		switch {
		case e.State == foreman.Working:
			for range 100 { // 10 MB, while this watcher does not look
				_, _ = task.Write(chunk)
			}
			g.end <- nil
		case e.Type == foreman.GapEvent:
			gaps++
		case e.Type == foreman.OutputEvent:
			size += len(e.Output)
		}
	}
	require.Equal(t, 1, gaps)
	require.LessOrEqual(t, size, 256<<10)
	require.Equal(t, foreman.Done, status(t, f, id).State)
}

// One write that is larger than what a watcher can hold is cut up, not a panic.
func TestALargeWriteToAWatchedJob(t *testing.T) {
	g := newGate()
	f := newForeman(t, g, foreman.Options{})
	start(t, f)
	id := submit(t, f, foreman.Spec{})
	task := <-g.began
	gaps := 0
	for e, err := range f.Watch(t.Context(), id, 0) {
		require.NoError(t, err)
		if e.State == foreman.Working {
			n, err := task.Write(bytes.Repeat([]byte("x"), 1<<20))
			require.NoError(t, err)
			require.Equal(t, 1<<20, n)
			g.end <- nil
		}
		if e.Type == foreman.GapEvent {
			gaps++
		}
	}
	require.Equal(t, 1, gaps)
	require.Equal(t, foreman.Done, status(t, f, id).State)
}
