package foreman_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// etaOf is when a job will start, from now, and how far off that may be.
func etaOf(t *testing.T, f *foreman.Foreman, id ulid.ULID) (in, margin time.Duration) {
	t.Helper()
	q := status(t, f, id).Queue
	require.False(t, q.ETA.IsZero(), "none, while waiting for %s at %d", q.WaitingFor, q.Position)
	return time.Until(q.ETA).Round(time.Second), q.Margin
}

func TestEstimates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &troubled{BackendFunc: sleeps(time.Minute), load: func(context.Context, string) error {
			time.Sleep(10 * time.Second)
			return nil
		}}
		f := newForeman(t, b, foreman.Options{DrainTimeout: time.Millisecond, MaxWait: time.Hour})
		start(t, f)
		first := submit(t, f, foreman.Spec{Model: "a"})
		time.Sleep(20 * time.Second)
		unknown := submit(t, f, foreman.Spec{Model: "a"})
		require.True(t, status(t, f, unknown).Queue.ETA.IsZero(), "none has ended yet")
		await(t, f, first)
		await(t, f, unknown)
		await(t, f, submit(t, f, foreman.Spec{Model: "b"}))

		submit(t, f, foreman.Spec{Model: "a"}) // runs, after a load of ten seconds
		time.Sleep(time.Second)
		second := submit(t, f, foreman.Spec{Model: "a"})
		in, _ := etaOf(t, f, second)
		require.Equal(t, 69*time.Second, in, "the rest of the load, and a run")
		time.Sleep(29 * time.Second)
		third, other := submit(t, f, foreman.Spec{Model: "a"}), submit(t, f, foreman.Spec{Model: "b"})
		in, margin := etaOf(t, f, second)
		require.Equal(t, 40*time.Second, in, "the rest of the run")
		in, more := etaOf(t, f, third)
		require.Equal(t, 100*time.Second, in, "and a whole one")
		require.Greater(t, more, margin)
		in, _ = etaOf(t, f, other)
		require.Equal(t, 170*time.Second, in, "and another one, and a load")
		time.Sleep(10 * time.Second)
		in, _ = etaOf(t, f, second)
		require.Equal(t, 30*time.Second, in)

		require.NoError(t, f.Pause(t.Context(), "b"))
		require.True(t, status(t, f, other).Queue.ETA.IsZero(), "nobody knows how long it stays paused")
		require.NoError(t, f.Resume(t.Context(), "b"))

		begun := time.Now()
		in, _ = etaOf(t, f, other)
		await(t, f, other)
		require.InDelta(t, in.Seconds(), status(t, f, other).StartedAt.Sub(begun).Seconds(), 1, "and so it was")
	})
}

// The more alike the runs have been, the surer is the time.
func TestEstimatesGetSurer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForeman(t, sleeps(time.Minute), foreman.Options{DrainTimeout: time.Millisecond})
		start(t, f)
		last := time.Hour
		for range 3 {
			for range 4 {
				await(t, f, submit(t, f, foreman.Spec{}))
			}
			submit(t, f, foreman.Spec{})
			waits := submit(t, f, foreman.Spec{})
			_, margin := etaOf(t, f, waits)
			require.Less(t, margin, last)
			last = margin
			await(t, f, waits)
		}
		require.Less(t, last, 10*time.Second)
	})
}
