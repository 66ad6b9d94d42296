package foreman_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// fragile is a backend that can be out of reach.
type fragile struct {
	down   atomic.Bool
	checks atomic.Int64
	runs   atomic.Int64
}

func (b *fragile) Run(context.Context, *foreman.Task) error {
	b.runs.Add(1)
	if b.down.Load() {
		return foreman.Unavailable(errors.New("connection refused"))
	}
	return nil
}

func (b *fragile) Check(context.Context) error {
	b.checks.Add(1)
	if b.down.Load() {
		return errors.New("connection refused")
	}
	return nil
}

func TestBackendDownAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fragile{}
		b.down.Store(true)
		f := newForeman(t, b, foreman.Options{})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		time.Sleep(time.Hour)
		j := status(t, f, id)
		require.Equal(t, foreman.Queued, j.State)
		require.Equal(t, "backend", j.Queue.WaitingFor)
		require.Zero(t, b.runs.Load(), "no attempt is wasted")
		require.Less(t, b.checks.Load(), int64(1000), "asked with pauses")
		require.ErrorIs(t, f.Ready(t.Context()), foreman.ErrBackendDown)
		b.down.Store(false)
		begun := time.Now()
		require.Equal(t, foreman.Done, await(t, f, id).State)
		require.Less(t, time.Since(begun), 7*time.Second)
		require.NoError(t, f.Ready(t.Context()))
	})
}

func TestBackendLostAndFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fragile{}
		f := newForeman(t, b, foreman.Options{MaxAttempts: 1})
		start(t, f)
		await(t, f, submit(t, f, foreman.Spec{}))
		b.down.Store(true)
		var ids []foreman.Spec
		for range 20 {
			ids = append(ids, foreman.Spec{})
		}
		last := submit(t, f, ids[0])
		for _, s := range ids[1:] {
			last = submit(t, f, s)
		}
		time.Sleep(time.Hour)
		require.Less(t, b.runs.Load(), int64(10), "the others are not even tried")
		require.Equal(t, foreman.Queued, status(t, f, last).State)
		b.down.Store(false)
		j := await(t, f, last)
		require.Equal(t, foreman.Done, j.State)
		require.Equal(t, 1, j.Attempt, "what could not be reached does not count")
	})
}

// treacherous passes its check, and cannot be reached all the same.
type treacherous struct{ fragile }

func (*treacherous) Check(context.Context) error { return nil }

func TestABackendThatOnlyPassesItsCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &treacherous{}
		b.down.Store(true)
		f := newForeman(t, b, foreman.Options{})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		time.Sleep(10 * time.Minute)
		require.Less(t, b.runs.Load(), int64(200), "with pauses")
		require.Greater(t, b.runs.Load(), int64(50))
		b.down.Store(false)
		require.Equal(t, foreman.Done, await(t, f, id).State)
	})
}

// A pool that cannot be checked does not speak for those that can.
func TestReady(t *testing.T) {
	up, down, function := &fragile{}, &fragile{}, foreman.BackendFunc((&fragile{}).Run)
	down.down.Store(true)
	for _, c := range []struct {
		name   string
		pools  foreman.Pools
		status int
		body   string
	}{
		{"no checker", foreman.Pools{{Name: "f", Backend: function}}, 200, `{"status":"ready"}`},
		{"in reach", foreman.Pools{{Name: "f", Backend: function}, {Name: "a", Backend: up}}, 200, `{"status":"ready"}`},
		{"out of reach, beside a function", foreman.Pools{{Name: "f", Backend: function}, {Name: "a", Backend: down}}, 503, `"type":"backend_unavailable"`},
		{"one of two", foreman.Pools{{Name: "a", Backend: down}, {Name: "b", Backend: up}}, 200, `{"status":"ready","out_of_reach":["a"]}`},
		{"both", foreman.Pools{{Name: "a", Backend: down}, {Name: "b", Backend: down}}, 503, `"type":"backend_unavailable"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newForeman(t, c.pools, foreman.Options{})
			w := httptest.NewRecorder()
			f.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			require.Equal(t, c.status, w.Code)
			if c.status == 200 {
				require.JSONEq(t, c.body, w.Body.String())
				require.NoError(t, f.Ready(t.Context()))
			} else {
				require.Contains(t, w.Body.String(), c.body)
				require.ErrorIs(t, f.Ready(t.Context()), foreman.ErrBackendDown)
			}
		})
	}
}

// doubtful is a backend that can be told to be checked.
type doubtful struct {
	fragile
	doubts chan struct{}
}

func (b *doubtful) Doubts() <-chan struct{} { return b.doubts }

func TestABackendThatDoubtsIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &doubtful{doubts: make(chan struct{}, 1)}
		f := newForeman(t, b, foreman.Options{})
		start(t, f)
		require.Equal(t, foreman.Done, await(t, f, submit(t, f, foreman.Spec{})).State)
		time.Sleep(time.Hour)
		require.Equal(t, int64(1), b.checks.Load(), "nobody had a reason to check it")

		b.down.Store(true)
		b.doubts <- struct{}{}
		time.Sleep(time.Minute)
		id := submit(t, f, foreman.Spec{})
		time.Sleep(time.Minute)
		require.Equal(t, "backend", status(t, f, id).Queue.WaitingFor)
		require.Equal(t, int64(1), b.runs.Load(), "no attempt is wasted")
		b.down.Store(false)
		require.Equal(t, foreman.Done, await(t, f, id).State)
	})
}
