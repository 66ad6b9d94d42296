package blobstore

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A Put that begins while its run is being removed waits, or its artifact would go too.
func TestPutsWaitForRemovals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard{claims: map[claim]*activity{}}
		c := claim{"job", 1}
		since, ok := g.watch(c)
		require.True(t, ok)
		began := make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		removed := false
		g.undisturbed(c, since, func() {
			go func() { began <- g.begin(t.Context(), c) }()
			go func() { began <- g.begin(ctx, c) }()
			require.NoError(t, g.begin(t.Context(), claim{"job", 2}), "of another run")
			synctest.Wait()
			require.Empty(t, began)
			cancel()
			require.ErrorIs(t, <-began, context.Canceled)
			g.undisturbed(c, since, func() { t.Error("another sweep is at it") })
			removed = true
		})
		require.True(t, removed)
		require.NoError(t, <-began)
		g.undisturbed(c, since, func() { t.Error("a Put has begun since") })
		g.unwatch(c)
		_, ok = g.watch(c)
		require.False(t, ok, "a Put is under way")
		g.end(c)
		g.end(claim{"job", 2})
		require.Empty(t, g.claims)
	})
}
