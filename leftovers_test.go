package foreman_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

// silent is a store of artifacts that does not answer when something is to be removed.
type silent struct{ *artifact.Dir }

func (silent) Remove(ctx context.Context, _ ...artifact.Key) error {
	<-ctx.Done()
	return ctx.Err()
}

// What an attempt has left is not waited for: neither by the job, nor for ever by the end
// of Run.
func TestLeftoversHoldNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := artifact.OpenDir(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, dir.Close()) })
		f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
			if task.Attempt > 1 {
				return nil
			}
			_, err := task.Artifact("a", "text/plain", strings.NewReader("x"))
			return errors.Join(err, errors.New("not this time"))
		}), foreman.Options{Artifacts: silent{dir}})
		stop := start(t, f)
		j := await(t, f, submit(t, f, foreman.Spec{}))
		require.Equal(t, foreman.Done, j.State)
		begun := time.Now()
		stop()
		require.Less(t, time.Since(begun), time.Minute)
	})
}
