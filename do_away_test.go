package foreman_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// distant is a store behind a network that breaks: calls fail, after a while.
type distant struct {
	store.Store
	cut  atomic.Bool
	late time.Duration
}

func (s *distant) reach() error {
	if !s.cut.Load() {
		return nil
	}
	time.Sleep(s.late)
	return store.ErrUnavailable
}

func reached[T any](s *distant, call func() (T, error)) (T, error) {
	if err := s.reach(); err != nil {
		var none T
		return none, err
	}
	return call()
}

func (s *distant) Upcoming(ctx context.Context) (store.Upcoming, error) {
	return reached(s, func() (store.Upcoming, error) { return s.Store.Upcoming(ctx) })
}

func (s *distant) Lanes(ctx context.Context) ([]store.Lane, error) {
	return reached(s, func() ([]store.Lane, error) { return s.Store.Lanes(ctx) })
}

func (s *distant) Paused(ctx context.Context) (store.Pause, error) {
	return reached(s, func() (store.Pause, error) { return s.Store.Paused(ctx) })
}

func (s *distant) Claim(ctx context.Context, c store.Claim, start func(store.Record) store.Change) ([]store.Record, error) {
	return reached(s, func() ([]store.Record, error) { return s.Store.Claim(ctx, c, start) })
}

func (s *distant) Apply(ctx context.Context, changes []store.Change) ([]store.Result, error) {
	return reached(s, func() ([]store.Result, error) { return s.Store.Apply(ctx, changes) })
}

func (s *distant) Get(ctx context.Context, id ulid.ULID) (store.Record, error) {
	return reached(s, func() (store.Record, error) { return s.Store.Get(ctx, id) })
}

func (s *distant) Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]store.Event, error) {
	return reached(s, func() ([]store.Event, error) { return s.Store.Events(ctx, id, after, limit) })
}

var instantly = func(context.Context, foreman.Turn) error { return nil }

// While the store is away callers are served, of the lanes that nobody has paused, as far
// as is known. Afterwards a job has its turn, though callers keep coming.
func TestCallersWhileTheStoreIsAway(t *testing.T) {
	for name, late := range map[string]time.Duration{"gone": 0, "hung": 8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &distant{Store: openStore(t), late: late}
				g := newGate()
				f := newForeman(t, g, foreman.Options{Store: s, MaxWait: time.Minute})
				start(t, f)
				require.NoError(t, f.Pause(t.Context(), "held"))
				submit(t, f, foreman.Spec{Model: "job"})
				<-g.began
				id := submit(t, f, foreman.Spec{Model: "job"}) // ready, and has no slot yet
				s.cut.Store(true)
				time.Sleep(10 * time.Second) // what was known is old
				g.end <- nil
				begun := time.Now()
				require.NoError(t, f.Do(t.Context(), foreman.Spec{Model: "m"}, instantly))
				require.LessOrEqual(t, time.Since(begun), 3*time.Second, "until the store is known to be away")
				for range 5 * 60 {
					begun = time.Now()
					require.NoError(t, f.Do(t.Context(), foreman.Spec{Model: "m"}, instantly))
					require.Zero(t, time.Since(begun))
					time.Sleep(time.Second)
				}
				require.ErrorIs(t, f.Do(t.Context(), foreman.Spec{Model: "held", QueueTimeout: time.Minute}, instantly), foreman.ErrBusy)
				require.Empty(t, g.began)

				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				for range 2 { // so that one is always there
					go func() {
						for f.Do(ctx, foreman.Spec{Model: "m"}, func(context.Context, foreman.Turn) error {
							time.Sleep(time.Second)
							return nil
						}) == nil {
						}
					}()
				}
				time.Sleep(10 * time.Second)
				s.cut.Store(false)
				begun = time.Now()
				require.Equal(t, id, (<-g.began).ID)
				require.Less(t, time.Since(begun), time.Minute+late+5*time.Second)
				g.end <- nil
				require.Equal(t, foreman.Done, await(t, f, id).State)
				stop()
			})
		})
	}
}

// Nobody is let in before it is known what is paused.
func TestCallersBeforeTheStoreIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &distant{Store: openStore(t)}
		require.NoError(t, s.Pause(t.Context(), store.Pause{All: true}))
		s.cut.Store(true)
		f := newForeman(t, newGate(), foreman.Options{Store: s})
		start(t, f)
		model := foreman.Spec{Model: "m", QueueTimeout: time.Minute}
		require.ErrorIs(t, f.Do(t.Context(), model, instantly), foreman.ErrBusy)
		s.cut.Store(false)
		require.ErrorIs(t, f.Do(t.Context(), model, instantly), foreman.ErrBusy)
		require.NoError(t, f.Resume(t.Context()))
		s.cut.Store(true)
		time.Sleep(time.Minute)
		require.NoError(t, f.Do(t.Context(), model, instantly))
	})
}

// A model that is being loaded for a job is, whether or not the store is away for a moment.
func TestLoadWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &distant{Store: openStore(t)}
		b := &troubled{BackendFunc: sleeps(time.Second), load: func(ctx context.Context, _ string) error {
			select {
			case <-time.After(30 * time.Second):
			case <-ctx.Done():
			}
			return ctx.Err()
		}}
		f := newForeman(t, b, foreman.Options{Store: s})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		time.Sleep(time.Second)
		s.cut.Store(true)
		time.Sleep(20 * time.Second)
		s.cut.Store(false)
		require.Equal(t, foreman.Done, await(t, f, id).State)
		require.EqualValues(t, 1, b.loads.Load())
	})
}
