package foreman_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

func TestDo(t *testing.T) {
	model := foreman.Spec{Model: "m"}
	t.Run("shares the slots with jobs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			f := newForeman(t, g, foreman.Options{})
			start(t, f)
			first := submit(t, f, foreman.Spec{})
			<-g.began
			second := submit(t, f, foreman.Spec{})
			inside, done := make(chan struct{}), make(chan error, 1)
			go func() {
				done <- f.Do(t.Context(), model, func(context.Context, foreman.Turn) error {
					inside <- struct{}{}
					return nil
				})
			}()
			synctest.Wait()
			select {
			case <-inside:
				require.Fail(t, "before its turn")
			default:
			}
			g.end <- nil
			<-inside // before the job of the same priority
			require.Empty(t, g.began)
			require.NoError(t, <-done)
			<-g.began
			g.end <- nil
			await(t, f, first)
			await(t, f, second)
		})
	})
	t.Run("frees its place when it panics", func(t *testing.T) {
		f := newForeman(t, newGate(), foreman.Options{})
		start(t, f)
		require.PanicsWithValue(t, "oh", func() {
			_ = f.Do(t.Context(), model, func(context.Context, foreman.Turn) error { panic("oh") })
		})
		require.NoError(t, f.Do(t.Context(), model, func(context.Context, foreman.Turn) error { return nil }))
	})
	t.Run("who leaves while waiting frees nothing and takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newForeman(t, newGate(), foreman.Options{MaxWaiting: 1})
			start(t, f)
			release := make(chan struct{})
			held := make(chan error, 1)
			go func() {
				held <- f.Do(t.Context(), model, func(context.Context, foreman.Turn) error { <-release; return nil })
			}()
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			waiting := make(chan error, 1)
			go func() { waiting <- f.Do(ctx, model, nil) }()
			synctest.Wait()
			require.ErrorIs(t, f.Do(t.Context(), model, nil), foreman.ErrBusy)
			cancel()
			require.ErrorIs(t, <-waiting, context.Canceled)
			close(release)
			require.NoError(t, <-held)
			require.NoError(t, f.Do(t.Context(), model, func(context.Context, foreman.Turn) error { return nil }))
		})
	})
	t.Run("ends with Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newForeman(t, newGate(), foreman.Options{DrainTimeout: time.Second})
			stop := start(t, f)
			running, waiting := make(chan error, 1), make(chan error, 1)
			go func() {
				running <- f.Do(t.Context(), model, func(ctx context.Context, _ foreman.Turn) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})
			}()
			synctest.Wait()
			go func() { waiting <- f.Do(t.Context(), model, nil) }()
			synctest.Wait()
			stop()
			require.Error(t, <-running)
			require.ErrorIs(t, <-waiting, foreman.ErrUnavailable)
		})
	})
	t.Run("callers of one lane cannot keep another out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil }),
				foreman.Options{MaxWait: time.Minute})
			start(t, f)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{}, 2)
			for range 2 {
				go func() {
					for ctx.Err() == nil {
						_ = f.Do(ctx, model, func(context.Context, foreman.Turn) error { time.Sleep(time.Second); return nil })
					}
					ended <- struct{}{}
				}()
			}
			time.Sleep(10 * time.Second)
			begun := time.Now()
			await(t, f, submit(t, f, foreman.Spec{Model: "other"}))
			require.Less(t, time.Since(begun), time.Minute+2*time.Second)
			cancel()
			<-ended
			<-ended
		})
	})
	t.Run("returns what the function returns", func(t *testing.T) {
		f := newForeman(t, newGate(), foreman.Options{})
		start(t, f)
		want := errors.New("mine")
		require.Equal(t, want, f.Do(t.Context(), model, func(context.Context, foreman.Turn) error { return want }))
	})
}
