package foreman_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// doAll has callers wait, in order, and tells the order in which they were let in.
func doAll(t *testing.T, f *foreman.Foreman, specs []foreman.Spec, inside func(foreman.Turn)) (order <-chan string) {
	t.Helper()
	out := make(chan string, len(specs))
	for i, s := range specs {
		go func() {
			_ = f.Do(t.Context(), s, func(_ context.Context, turn foreman.Turn) error {
				out <- fmt.Sprint(s.Owner, i)
				inside(turn)
				return nil
			})
		}()
		synctest.Wait() // it is in the queue before the next one comes
	}
	return out
}

func take(ch <-chan string, n int) (out []string) {
	for range n {
		out = append(out, <-ch)
	}
	return out
}

func TestOwnersOfCallersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{})
		start(t, f)
		submit(t, f, foreman.Spec{})
		<-g.began
		specs := []foreman.Spec{
			{Model: "m", Owner: "ann"},
			{Model: "m", Owner: "ann"},
			{Model: "m", Owner: "ann"},
			{Model: "m", Owner: "bob"},
			{Model: "m", Owner: "bob"},
			{Model: "m", Owner: "eve", Priority: 1},
		}
		var positions []int
		order := doAll(t, f, specs, func(turn foreman.Turn) { positions = append(positions, turn.Position) })
		g.end <- nil
		require.Equal(t, []string{"eve5", "ann0", "bob3", "ann1", "bob4", "ann2"}, take(order, 6))
		synctest.Wait()
		require.Equal(t, []int{1, 1, 2, 2, 4, 3}, positions, "as they came")
	})
}

// Callers that keep coming do not keep a job out for longer than MaxWait.
func TestCallersDoNotKeepJobsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{MaxWait: time.Minute})
		start(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		served := make(chan struct{}, 10_000)
		for range 2 {
			go func() {
				for ctx.Err() == nil {
					_ = f.Do(ctx, foreman.Spec{Model: "m"}, func(context.Context, foreman.Turn) error {
						time.Sleep(time.Second)
						served <- struct{}{}
						return nil
					})
				}
			}()
		}
		synctest.Wait()
		begun := time.Now()
		id := submit(t, f, foreman.Spec{})
		<-g.began
		require.GreaterOrEqual(t, time.Since(begun), time.Minute-time.Second, "callers come first")
		require.LessOrEqual(t, time.Since(begun), time.Minute+3*time.Second)
		g.end <- nil
		await(t, f, id)
		before := len(served)
		time.Sleep(10 * time.Second)
		require.Greater(t, len(served), before, "they go on")
		cancel()
		synctest.Wait()
	})
}

func TestWaitError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{MaxWaiting: 2})
		start(t, f)
		first := submit(t, f, foreman.Spec{})
		<-g.began
		time.Sleep(8 * time.Second)
		g.end <- nil
		await(t, f, first) // so that it is known how long a run takes
		submit(t, f, foreman.Spec{})
		<-g.began
		order := doAll(t, f, []foreman.Spec{{Model: "m"}, {Model: "m"}}, func(foreman.Turn) {})

		var w *foreman.WaitError
		err := f.Do(t.Context(), foreman.Spec{Model: "m"}, nil)
		require.ErrorAs(t, err, &w)
		require.ErrorIs(t, err, foreman.ErrBusy)
		require.Equal(t, 3, w.Position)
		require.Zero(t, w.Waited)
		require.Equal(t, 24*time.Second, w.Retry, "what runs, and two before")
		g.end <- nil
		take(order, 2)

		submit(t, f, foreman.Spec{})
		<-g.began
		begun := time.Now()
		err = f.Do(t.Context(), foreman.Spec{Model: "m", QueueTimeout: 3 * time.Second}, nil)
		require.ErrorAs(t, err, &w)
		require.Equal(t, 3*time.Second, time.Since(begun))
		require.Equal(t, 3*time.Second, w.Waited)
		require.Equal(t, 1, w.Position)
		g.end <- nil
	})
}

func TestAModelThatNobodyServes(t *testing.T) {
	f := newForeman(t, foreman.Pools{{Name: "one", Backend: newGate(), Serves: func(m string) bool { return m == "m" }}}, foreman.Options{})
	_, err := f.Submit(t.Context(), foreman.Spec{Model: "n"})
	require.ErrorIs(t, err, foreman.ErrInvalid)
	require.ErrorContains(t, err, `"n"`)
	require.ErrorIs(t, f.Do(t.Context(), foreman.Spec{Model: "n"}, nil), foreman.ErrInvalid)
}

// Who has all the places that there are for waiting makes room for others.
func TestAnOwnerCannotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newForeman(t, g, foreman.Options{MaxWaiting: 4})
		start(t, f)
		submit(t, f, foreman.Spec{})
		<-g.began
		errs := make(chan error, 10)
		call := func(owner string, priority int) {
			go func() {
				errs <- f.Do(t.Context(), foreman.Spec{Model: "m", Owner: owner, Priority: priority}, func(context.Context, foreman.Turn) error {
					return errors.New(owner)
				})
			}()
			synctest.Wait()
		}
		for i := range 4 {
			call("ann", i%2)
		}
		call("ann", 5)
		var waits *foreman.WaitError
		require.ErrorAs(t, <-errs, &waits, "the fifth of hers")
		require.Zero(t, waits.Waited)
		time.Sleep(time.Second)
		call("bob", 0)
		require.ErrorAs(t, <-errs, &waits, "the third of hers, for his")
		require.Equal(t, time.Second, waits.Waited)
		call("bob", 0)
		require.ErrorAs(t, <-errs, &waits, "the first of hers, for his")
		call("bob", 0)
		require.ErrorAs(t, <-errs, &waits, "his own: each has two")
		g.end <- nil
		var order []string
		for range 4 {
			order = append(order, (<-errs).Error())
		}
		require.Equal(t, []string{"ann", "ann", "bob", "bob"}, order, "hers have a higher priority")
	})
}
