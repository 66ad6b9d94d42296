package foreman_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// A store can make a change and not be able to say so, when it is cut off at that moment.
// The result that was stored is not taken for one that came too late: the job keeps its
// artifacts, and is told of once.
func TestResultsStoredWithoutAWord(t *testing.T) {
	var silent atomic.Int64
	s := &spied{Store: openStore(t), changed: func(changes []store.Change) error {
		if changes[0].Head.State != store.Working && silent.Add(1)%3 > 0 {
			return store.ErrUnavailable
		}
		return nil
	}}
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		if _, err := task.Artifact("out", "", strings.NewReader("made")); err != nil {
			return err
		}
		if task.Attempt == 1 {
			return errors.New("once")
		}
		return task.SetResult("result")
	}), foreman.Options{Store: s, RetryDelay: time.Millisecond})
	stop := start(t, f)
	begun := time.Now()
	id := submit(t, f, foreman.Spec{})
	j := await(t, f, id)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, `"result"`, string(j.Result))
	require.Equal(t, []foreman.State{"queued", "working", "queued", "working", "done"}, states(t, f, id))
	require.Less(t, time.Since(begun), 3*time.Second, "nothing waits for the next look at the store, half a lease later")
	require.GreaterOrEqual(t, silent.Load(), int64(4))
	stop() // whatever is removed is
	r, _, err := f.OpenArtifact(t.Context(), id, "out")
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, "made", string(data))
}
