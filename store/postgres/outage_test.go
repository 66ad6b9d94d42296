package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

const patience = 30 * time.Second

func open(tb testing.TB, url string, o *postgres.Options) store.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), url, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

// The server stops, and dies, in the middle of everything: each call has worked or says
// that the store cannot be reached; what was confirmed is there; and when the server is
// back, so is the store.
func TestOutage(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		server := pgtest.Start(t)
		outages(t, server.URL, &postgres.Options{}, outage{server.Stop, server.Start}, outage{server.Crash, server.Start})
	})
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Start(t)
		b := pgtest.StartBouncer(t, server.URL, 4)
		outages(t, b.URL, &postgres.Options{PollOnly: true},
			outage{server.Stop, server.Start}, outage{server.Crash, server.Start}, outage{b.Stop, b.Start})
	})
}

type outage struct{ stop, start func(testing.TB) }

func outages(t *testing.T, url string, o *postgres.Options, list ...outage) {
	one, two := open(t, url, o), open(t, url, o)
	ctx := t.Context()
	var stopped atomic.Bool // calls are not given up, so that none is under way in the end
	var mu sync.Mutex
	kept := map[ulid.ULID]store.Head{} // as they were confirmed
	var calls, failed atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, 100)
	judge := func(err error) bool {
		calls.Add(1)
		if err == nil {
			return true
		}
		if failed.Add(1); !errors.Is(err, store.ErrUnavailable) {
			select {
			case errs <- err:
			default:
			}
		}
		return false
	}
	keep := func(results []store.Result) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range results {
			if r.Err == nil && r.Head.Version >= kept[r.Head.ID].Version {
				kept[r.Head.ID] = r.Head
			}
		}
	}
	for i := range 8 {
		s := []store.Store{one, two}[i%2]
		all.Go(func() {
			for !stopped.Load() {
				in := job("owner")
				in.Head.Lane = fmt.Sprint("lane ", i)
				results, err := s.Insert(ctx, []store.Insertion{in})
				if !judge(err) {
					continue
				}
				keep(results)
				records, err := s.Claim(ctx, store.Claim{Worker: "w", Lane: in.Head.Lane, Limit: 1, Lease: time.Hour}, started)
				if !judge(err) || len(records) == 0 {
					continue
				}
				keep([]store.Result{{Head: records[0].Head}})
				if results, err = s.Apply(ctx, []store.Change{ended(records[0].Head)}); judge(err) {
					keep(results)
				}
				_, err = s.Get(ctx, in.Head.ID)
				judge(err)
			}
		})
	}
	more := func() {
		t.Helper()
		n := calls.Load() - failed.Load()
		eventually(t, "calls to work", func() bool { return calls.Load()-failed.Load() > n+100 })
	}
	for _, x := range list {
		more()
		x.stop(t)
		n := failed.Load()
		eventually(t, "calls to fail", func() bool { return failed.Load() > n+8 })
		x.start(t)
		more()
	}
	stopped.Store(true)
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error("not that the store cannot be reached:", err)
	}
	for id, head := range kept {
		r, err := two.Get(ctx, id)
		require.NoError(t, err)
		require.GreaterOrEqual(t, r.Version, head.Version, "%s has gone back", id)
		events, err := two.Events(ctx, id, 0, 100)
		require.NoError(t, err)
		require.Len(t, events, int(r.Seq))
	}
	t.Logf("%d calls, %d failed, %d records", calls.Load(), failed.Load(), len(kept))
}

func TestUnavailable(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.URL, nil)
	m := s.(store.Messenger)
	in := job("owner")
	insert(t, s, in)
	server.Stop(t)
	_, err := postgres.Open(t.Context(), server.URL, nil)
	require.ErrorIs(t, err, store.ErrUnavailable)
	_, err = s.Get(t.Context(), in.Head.ID)
	require.ErrorIs(t, err, store.ErrUnavailable)
	_, err = s.Insert(t.Context(), []store.Insertion{job("owner")})
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, s.Pause(t.Context(), store.Pause{All: true}), store.ErrUnavailable)
	require.ErrorIs(t, m.Publish(t.Context(), "message"), store.ErrUnavailable)
	server.Start(t)
	_, err = s.Get(t.Context(), in.Head.ID)
	require.NoError(t, err)
	require.NoError(t, m.Publish(t.Context(), "message"))
}

// Who listens is told when it may have missed something, and goes on.
func TestMessagesAfterOutage(t *testing.T) {
	server := pgtest.Start(t)
	s, other := open(t, server.URL, nil).(store.Messenger), open(t, server.URL, nil).(store.Messenger)
	var heard, lost atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Subscribe(ctx, func(string) { heard.Add(1) }, func() { lost.Add(1) })
	}()
	hear := func() {
		t.Helper()
		n := heard.Load()
		eventually(t, "a message", func() bool {
			err := other.Publish(t.Context(), "message")
			return err == nil && heard.Load() > n
		})
	}
	hear()
	require.EqualValues(t, 1, lost.Load(), "when it begins")
	server.Crash(t)
	server.Start(t)
	hear()
	require.EqualValues(t, 2, lost.Load())
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
