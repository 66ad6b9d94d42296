package foreman_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// cancel asks for a job to stop.
func cancel(t *testing.T, f *foreman.Foreman, id ulid.ULID) *foreman.Job {
	t.Helper()
	j, err := f.Cancel(t.Context(), id)
	require.NoError(t, err)
	return j
}

// Whoever asks once more changes nothing and is told how things are.
func TestCancelTwice(t *testing.T) {
	t.Run("while the first is being carried out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			told := make(chan error, 1)
			leave, letLeave := latch()
			defer letLeave()
			f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
				if _, err := task.Artifact("half", "", strings.NewReader("x")); err != nil {
					return err
				}
				<-ctx.Done()
				told <- context.Cause(ctx)
				<-leave
				return errors.New("interrupted")
			}), foreman.Options{})
			start(t, f)
			id := submit(t, f, foreman.Spec{})
			time.Sleep(time.Second)
			first := cancel(t, f, id)
			require.Equal(t, foreman.Working, first.State)
			require.NotZero(t, first.CancelRequestedAt)
			require.EqualError(t, <-told, "cancel_requested")
			time.Sleep(time.Second)
			require.Equal(t, first, cancel(t, f, id))
			letLeave()
			ended := await(t, f, id)
			require.Equal(t, foreman.Canceled, ended.State)
			require.Equal(t, first.CancelRequestedAt, ended.CancelRequestedAt)
			require.Len(t, ended.Artifacts, 1)
			time.Sleep(time.Second)
			require.Equal(t, ended, cancel(t, f, id))
			require.Equal(t, []foreman.State{foreman.Queued, foreman.Working, foreman.Canceled}, states(t, f, id))
		})
	})
	t.Run("between the end of the attempt and its being stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storing := make(chan struct{}, 2)
			stored, letStore := latch()
			defer letStore()
			s := &spied{Store: openStore(t), changing: func(changes []store.Change) {
				if changes[0].Head.State == store.State(foreman.Done) {
					storing <- struct{}{}
					<-stored
				}
			}}
			f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
				_, err := task.Artifact("whole", "", strings.NewReader("x"))
				return errors.Join(err, task.SetResult("in time"))
			}), foreman.Options{Store: s, Dir: t.TempDir()})
			start(t, f)
			id := submit(t, f, foreman.Spec{})
			<-storing
			first := cancel(t, f, id)
			require.Equal(t, foreman.Working, first.State)
			time.Sleep(time.Second)
			require.Equal(t, first, cancel(t, f, id))
			letStore()
			ended := await(t, f, id)
			require.Equal(t, foreman.Done, ended.State, "its result was on its way")
			require.JSONEq(t, `"in time"`, string(ended.Result))
			r, _, err := f.OpenArtifact(t.Context(), id, "whole")
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.Equal(t, ended, cancel(t, f, id))
		})
	})
}

// heldUp marks the context of a call that waits once it has read a job.
type heldUp struct{}

// A cancel that is held up until the job runs again, in another round, ends nothing of
// that round.
func TestCancelOfTheRoundBefore(t *testing.T) {
	for name, attempts := range map[string]int{"of the same attempt": 1, "of another attempt": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := make(chan struct{}, 2)
				goOn, letGoOn := latch()
				defer letGoOn()
				s := &spied{Store: openStore(t), got: func(ctx context.Context, _ ulid.ULID) error {
					if ctx.Value(heldUp{}) != nil {
						read <- struct{}{}
						<-goOn
					}
					return nil
				}}
				leave, letLeave := latch()
				defer letLeave()
				g := newGate()
				f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
					err := g.Run(ctx, task)
					if ctx.Err() != nil {
						<-leave
					}
					return err
				}), foreman.Options{Store: s, Dir: t.TempDir()})
				start(t, f)
				id := submit(t, f, foreman.Spec{})
				for range attempts - 1 {
					<-g.began
					g.end <- errors.New("again")
				}
				require.Equal(t, attempts, (<-g.began).Attempt)
				cancel(t, f, id)
				second := make(chan *foreman.Job, 1)
				go func() {
					j, err := f.Cancel(context.WithValue(t.Context(), heldUp{}, true), id)
					require.NoError(t, err)
					second <- j
				}()
				<-read
				letLeave()
				require.Equal(t, foreman.Canceled, await(t, f, id).State)

				_, err := f.Retry(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, 1, (<-g.began).Attempt)
				letGoOn()
				j := <-second
				require.Equal(t, foreman.Working, j.State)
				require.Zero(t, j.CancelRequestedAt)
				synctest.Wait()
				require.Equal(t, foreman.Working, status(t, f, id).State)
				g.end <- nil
				time.Sleep(time.Minute)
				j = status(t, f, id)
				require.Equal(t, foreman.Done, j.State)
				require.Equal(t, 1, j.Attempt)
			})
		})
	}
}
