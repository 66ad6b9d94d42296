package foreman_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/bolt"
)

// cutOff is a store whose leases cannot be renewed while it is cut off, as for a
// process that has stopped for a while.
type cutOff struct {
	store.Store
	off atomic.Bool
}

func (c *cutOff) Extend(ctx context.Context, refs []store.Ref, lease time.Duration) ([]store.Result, error) {
	if c.off.Load() {
		return nil, errors.New("cut off")
	}
	return c.Store.Extend(ctx, refs, lease)
}

func openStore(t *testing.T) store.Store {
	s, err := bolt.Open(t.TempDir()+"/foreman.db", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// A process that is not heard of loses its job to another one, and its late result
// changes nothing.
func TestALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := openStore(t)
		lost := &cutOff{Store: shared}
		slow, quick := newGate(), newGate()
		a := newForeman(t, slow, foreman.Options{Store: lost, Dir: t.TempDir(), Lease: 10 * time.Second})
		b := newForeman(t, quick, foreman.Options{Store: shared, Dir: t.TempDir(), Lease: 10 * time.Second})
		start(t, a)
		id := submit(t, a, foreman.Spec{})
		<-slow.began
		time.Sleep(time.Minute)
		require.Equal(t, 1, status(t, a, id).Attempt, "renewed all the time")

		lost.off.Store(true)
		start(t, b)
		begun := time.Now()
		task := <-quick.began
		require.Equal(t, 2, task.Attempt)
		require.Less(t, time.Since(begun), 21*time.Second, "seconds, not minutes")
		require.NoError(t, task.SetResult("second"))
		slow.end <- nil // late
		quick.end <- nil
		j := await(t, b, id)
		require.Equal(t, foreman.Done, j.State)
		require.JSONEq(t, `"second"`, string(j.Result))
		require.Equal(t, []foreman.State{
			foreman.Queued, foreman.Working, foreman.Queued, foreman.Working, foreman.Done,
		}, states(t, b, id))
	})
}

// claimAndDie takes a job as a process does that is killed then.
func claimAndDie(t *testing.T, s store.Store) store.Record {
	t.Helper()
	records, err := s.Claim(t.Context(), store.Claim{Worker: "dead", Lane: "m", Limit: 1, Lease: time.Second},
		func(r store.Record) store.Change {
			r.State, r.Attempt, r.Seq = store.Working, r.Attempt+1, r.Seq+1
			return store.Change{Head: r.Head, Events: []store.Event{{Seq: r.Seq, Data: []byte(`{"state":"working","attempt":1}`)}}}
		})
	require.NoError(t, err)
	require.Len(t, records, 1)
	return records[0]
}

func TestAJobThatKillsItsProcessIsNotTriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := openStore(t)
		g := newGate()
		f := newForeman(t, g, foreman.Options{Store: shared, Dir: t.TempDir()})
		id := submit(t, f, foreman.Spec{MaxAttempts: 2})
		claimAndDie(t, shared)
		time.Sleep(2 * time.Second)
		stop := start(t, f)
		require.Equal(t, 2, (<-g.began).Attempt)
		stop() // gives it back
		require.Equal(t, foreman.Interrupted, status(t, f, id).Error.Type)
		claimAndDie(t, shared)
		time.Sleep(2 * time.Second)
		start(t, f)
		j := await(t, f, id)
		require.Equal(t, foreman.Failed, j.State)
		require.Equal(t, foreman.Interrupted, j.Error.Type)
		require.Equal(t, 2, j.Error.Attempt)
	})
}

// A cancel through one process reaches the backend in another.
func TestCancelAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := openStore(t)
		g := newGate()
		worker := newForeman(t, g, foreman.Options{Store: shared, Dir: t.TempDir()})
		other := newForeman(t, newGate(), foreman.Options{Store: shared, Dir: t.TempDir()})
		start(t, worker)
		id := submit(t, worker, foreman.Spec{})
		<-g.began
		begun := time.Now()
		_, err := other.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, foreman.Canceled, await(t, worker, id).State)
		require.Less(t, time.Since(begun), time.Second)
	})
}

// brokenStore is a store that has stopped taking results.
type brokenStore struct {
	store.Store
	broken atomic.Bool
}

func (b *brokenStore) Apply(ctx context.Context, changes []store.Change) ([]store.Result, error) {
	if b.broken.Load() {
		return nil, errors.New("disk on fire")
	}
	return b.Store.Apply(ctx, changes)
}

// Run ends although results cannot be stored, and their jobs run again.
func TestAStoreThatBreaksDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &brokenStore{Store: openStore(t)}
		g := newGate()
		f := newForeman(t, g, foreman.Options{Store: s, Dir: t.TempDir(), Lease: time.Second, DrainTimeout: time.Second})
		stop := start(t, f)
		id := submit(t, f, foreman.Spec{})
		<-g.began
		s.broken.Store(true)
		g.end <- nil
		time.Sleep(time.Second)
		begun := time.Now()
		stop()
		require.Less(t, time.Since(begun), 30*time.Second)
		s.broken.Store(false)
		time.Sleep(2 * time.Second)
		start(t, f)
		<-g.began
		g.end <- nil
		j := await(t, f, id)
		require.Equal(t, foreman.Done, j.State)
		require.Equal(t, 2, j.Attempt)
	})
}

func TestDoAfterClose(t *testing.T) {
	f, err := foreman.New(newGate(), &foreman.Options{Dir: t.TempDir(), Logger: quiet})
	require.NoError(t, err)
	waiting := make(chan error, 1)
	go func() { waiting <- f.Do(t.Context(), foreman.Spec{Model: "m"}, nil) }()
	require.NoError(t, f.Close())
	require.ErrorIs(t, <-waiting, foreman.ErrUnavailable)
	require.ErrorIs(t, f.Do(t.Context(), foreman.Spec{Model: "m"}, nil), foreman.ErrUnavailable)
	_, err = f.Submit(t.Context(), foreman.Spec{Model: "m"})
	require.ErrorIs(t, err, foreman.ErrUnavailable)
}
