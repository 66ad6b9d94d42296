package foreman_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

// A second queue would sweep away what the first one has. It is refused, and what it was
// given is as it was.
func TestArtifactsOfAnotherQueue(t *testing.T) {
	dir, err := artifact.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	first := openStore(t)
	newForeman(t, doNothing, foreman.Options{Store: first, Artifacts: dir})
	newForeman(t, doNothing, foreman.Options{Store: first, Artifacts: dir}) // as another process would

	data := t.TempDir()
	for range 2 {
		_, err = foreman.New(doNothing, &foreman.Options{Dir: data, Artifacts: dir})
		require.ErrorIs(t, err, artifact.ErrOwned)
		require.ErrorContains(t, err, "give this queue a directory of its own")
	}
	newForeman(t, doNothing, foreman.Options{Dir: data})
}

// faraway is a store of artifacts that cannot be reached at first.
type faraway struct {
	*artifact.Dir
	reached atomic.Bool
	asked   atomic.Int64
}

func (d *faraway) Own(ctx context.Context, queue string) error {
	d.asked.Add(1)
	if !d.reached.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.Dir.Own(ctx, queue)
}

// Artifacts that cannot be reached prevent nothing. Once they can, nothing of another
// queue is swept.
func TestArtifactsOfNobodyKnowsWhom(t *testing.T) {
	for name, anothers := range map[string]bool{"its own": false, "another's": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, err := artifact.OpenDir(t.TempDir())
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, dir.Close()) })
				key := artifact.Key{Job: ulid.Make().String(), Run: 2, Name: "a"}
				_, err = dir.Put(t.Context(), key, "", strings.NewReader("x"), 0)
				require.NoError(t, err)
				if anothers {
					require.NoError(t, dir.Own(t.Context(), "another"))
				}

				far := &faraway{Dir: dir}
				begun := time.Now()
				f := newForeman(t, doNothing, foreman.Options{Dir: t.TempDir(), Artifacts: far})
				require.Equal(t, 10*time.Second, time.Since(begun))
				require.EqualValues(t, 1, far.asked.Load())
				submit(t, f, foreman.Spec{RunAt: time.Now().Add(time.Hour)})
				far.reached.Store(true)
				start(t, f)
				synctest.Wait() // for the sweep, among others, to be over
				require.EqualValues(t, 2, far.asked.Load())
				r, err := dir.Open(t.Context(), key)
				if !anothers {
					require.ErrorIs(t, err, artifact.ErrNotFound)
					return
				}
				require.NoError(t, err)
				require.NoError(t, r.Close())
			})
		})
	}
}

// One that has not swept to the end leaves it to the next that comes.
func TestWhoSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{Store: openStore(t)}
		sweeping := func() bool {
			shared.mu.Lock()
			defer shared.mu.Unlock()
			return shared.offices["sweep"].until.After(time.Now())
		}
		join := func() *foreman.Foreman {
			return newForeman(t, doNothing, foreman.Options{Store: shared.join(), Dir: t.TempDir()})
		}
		first, second := join(), join()
		start(t, first)
		synctest.Wait()
		require.False(t, sweeping(), "the store was empty")
		submit(t, first, foreman.Spec{RunAt: time.Now().Add(3 * time.Hour)})
		stop := start(t, second)
		synctest.Wait()
		require.True(t, sweeping())
		stop()
		require.True(t, sweeping(), "for an hour nobody else has to")
	})
}
