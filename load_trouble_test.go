package foreman_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// troubled is a backend whose loads do what the test says, and whose names of models mean
// one thing in any case.
type troubled struct {
	foreman.BackendFunc
	load  func(ctx context.Context, lane string) error
	loads atomic.Int32
}

func (b *troubled) Load(ctx context.Context, lane string, _ []string) error {
	b.loads.Add(1)
	return b.load(ctx, lane)
}
func (*troubled) Loaded(context.Context) ([]string, error) { return nil, nil }
func (*troubled) Model(lane string) string                 { return lane }
func (*troubled) Lane(s *foreman.Spec) string              { return strings.ToLower(s.Model) }

func sleeps(d time.Duration) foreman.BackendFunc {
	return func(ctx context.Context, _ *foreman.Task) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A load that hangs keeps others waiting for no longer than work does.
func TestLoadThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &troubled{BackendFunc: sleeps(time.Second), load: func(ctx context.Context, lane string) error {
			if lane == "bad" {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		f := newForeman(t, b, foreman.Options{MaxWait: time.Minute, DrainTimeout: time.Millisecond})
		start(t, f)
		submit(t, f, foreman.Spec{Model: "bad"})
		time.Sleep(time.Second)
		for range 3 {
			begun := time.Now()
			await(t, f, submit(t, f, foreman.Spec{Model: "good"}))
			require.LessOrEqual(t, time.Since(begun), time.Minute+2*time.Second)
		}
	})
}

func TestLoadThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &troubled{BackendFunc: sleeps(time.Second), load: func(context.Context, string) error { panic("at the disco") }}
		f := newForeman(t, b, foreman.Options{})
		start(t, f)
		require.Equal(t, foreman.Done, await(t, f, submit(t, f, foreman.Spec{})).State, "served all the same")
	})
}

// A model whose load ended since the server could not be reached is loaded again, once
// somebody has heard of it.
func TestLoadIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &troubled{BackendFunc: sleeps(time.Second)}
		b.load = func(context.Context, string) error {
			if b.loads.Load() == 1 {
				return foreman.Unavailable(errors.New("gone"))
			}
			return nil
		}
		f := newForeman(t, b, foreman.Options{})
		start(t, f)
		for range 3 {
			await(t, f, submit(t, f, foreman.Spec{}))
		}
		require.EqualValues(t, 2, b.loads.Load())
	})
}

// The limits of a model are those of its other names too.
func TestLimitsOfAModelOfManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		b := &troubled{load: func(context.Context, string) error { return nil }}
		b.BackendFunc = func(ctx context.Context, task *foreman.Task) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			return sleeps(time.Second)(ctx, task)
		}
		f := newForeman(t, b, foreman.Options{PerSlot: 4, Models: map[string]foreman.Limits{"Llama": {PerSlot: 1}}})
		start(t, f)
		for i := range 8 {
			defer await(t, f, submit(t, f, foreman.Spec{Model: []string{"llama", "LLAMA", "Llama"}[i%3]}))
		}
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 1, most.Load())
	})
}
