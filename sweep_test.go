package foreman_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

// Artifacts that no job knows are removed at start, but not while the store is empty:
// then it may be the store that was lost.
func TestSweep(t *testing.T) { synctest.Test(t, testSweep) }

func testSweep(t *testing.T) {
	dir, err := artifact.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	key := artifact.Key{Job: ulid.Make().String(), Run: 2, Name: "left"}
	_, err = dir.Put(t.Context(), key, "", strings.NewReader("x"), 0)
	require.NoError(t, err)
	there := func() bool {
		r, err := dir.Open(t.Context(), key)
		if errors.Is(err, artifact.ErrNotFound) {
			return false
		}
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return true
	}
	f := newForeman(t, doNothing, foreman.Options{Artifacts: dir, Dir: t.TempDir()})
	stop := start(t, f)
	synctest.Wait() // for the sweep, among others, to be over
	stop()
	require.True(t, there())

	submit(t, f, foreman.Spec{RunAt: time.Now().Add(time.Hour)})
	start(t, f)
	synctest.Wait()
	require.False(t, there())
}
