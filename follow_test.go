package foreman_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// moving is a backend that serves a model once it has come.
type moving struct {
	gate
	has  atomic.Bool
	come chan struct{}
}

func (m *moving) Has(string) bool { return m.has.Load() }

func (m *moving) Follow(ctx context.Context, changed func()) {
	for {
		select {
		case <-m.come:
			m.has.Store(true)
			changed()
		case <-ctx.Done():
			return
		}
	}
}

// What waits in one pool goes to another as soon as that serves it.
func TestFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy, idle := newGate(), &moving{gate: *newGate(), come: make(chan struct{})}
		f := newForeman(t, foreman.Pools{
			{Name: "busy", Backend: busy},
			{Name: "idle", Backend: idle, Serves: func(string) bool { return idle.has.Load() }},
		}, foreman.Options{})
		stop := start(t, f)
		first, second := submit(t, f, foreman.Spec{Model: "m"}), submit(t, f, foreman.Spec{Model: "m"})
		<-busy.began
		time.Sleep(time.Second)
		require.Equal(t, foreman.Queued, status(t, f, second).State)

		idle.come <- struct{}{}
		begun := time.Now()
		<-idle.began
		require.Less(t, time.Since(begun), time.Millisecond, "nobody waits for the next look")
		idle.end <- nil
		await(t, f, second)
		busy.end <- nil
		await(t, f, first)
		stop()

		start(t, f) // which follows anew
		idle.has.Store(false)
		idle.come <- struct{}{}
		synctest.Wait()
		require.True(t, idle.has.Load())
	})
}
