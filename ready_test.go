package foreman_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// Callers are let in by what is known of the store, while nothing of it changes.
func TestCallersDoNotReadTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		ran := make(chan string, 1)
		f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
			ran <- task.Spec.Model
			return nil
		}), foreman.Options{Store: &spied{Store: openStore(t), lanes: func() { reads.Add(1) }}, Dir: t.TempDir()})
		start(t, f)
		call := func(model string) {
			require.NoError(t, f.Do(t.Context(), foreman.Spec{Model: model}, func(context.Context, foreman.Turn) error { return nil }))
		}
		call("a")
		known := reads.Load()
		require.Positive(t, known)
		for range 100 {
			call("a")
			call("b")
		}
		require.Equal(t, known, reads.Load())

		submit(t, f, foreman.Spec{Model: "c"})
		require.Equal(t, "c", <-ran)
		submit(t, f, foreman.Spec{Model: "d", RunAt: time.Now().Add(time.Second)})
		call("a")
		require.Equal(t, "d", <-ran, "when it is due")
		require.Greater(t, reads.Load(), known)
	})
}
