package foreman_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// muted is a shared store that carries no messages.
type muted struct {
	store.Store
	store.Shared
}

// two are two Foremans that share a store, and would not look at it for an hour.
func two(t *testing.T, a, b foreman.Backend, mute bool) (fa, fb *foreman.Foreman) {
	shared := &bus{Store: openStore(t)}
	join := func(b foreman.Backend) *foreman.Foreman {
		var s store.Store = shared.join()
		if mute {
			s = muted{s, s.(store.Shared)}
		}
		return newForeman(t, b, foreman.Options{Store: s, Dir: t.TempDir(), Lease: 2 * time.Hour})
	}
	return join(a), join(b)
}

func TestPeersShareWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newGate(), newGate()
		fa, fb := two(t, a, b, false)
		start(t, fa)
		submit(t, fa, foreman.Spec{})
		<-a.began
		start(t, fb)
		synctest.Wait()
		begun := time.Now()
		id := submit(t, fa, foreman.Spec{})
		require.Equal(t, id, (<-b.began).ID, "of which the one without a free slot has told")
		require.Less(t, time.Since(begun), time.Second)
		a.end <- nil
		b.end <- nil
	})
}

// Jobs go to the process that has their model; callers are at one already.
func TestPeersLeaveModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		without, with := &moving{gate: *newGate(), come: make(chan struct{})}, newGate()
		fa, fb := two(t, without, with, false)
		start(t, fa)
		id := submit(t, fa, foreman.Spec{})
		synctest.Wait()
		j := status(t, fa, id)
		require.Equal(t, foreman.Queued, j.State, "there is another process, or will be")
		require.Equal(t, "backend", j.Queue.WaitingFor)
		require.Zero(t, j.Queue.ETA)
		q, err := fa.Queue(t.Context())
		require.NoError(t, err)
		require.Len(t, q.Lanes, 1)
		require.NoError(t, fa.Do(t.Context(), foreman.Spec{Model: "m"}, func(context.Context, foreman.Turn) error { return nil }))
		require.Equal(t, foreman.Queued, status(t, fa, id).State, "a caller does not bring it along")

		start(t, fb)
		require.Equal(t, id, (<-with.began).ID)
		with.end <- nil
		require.Equal(t, foreman.Done, await(t, fa, id).State)

		// The backend that has it now loses it, which it finds out by trying.
		without.come <- struct{}{}
		ids := []ulid.ULID{submit(t, fa, foreman.Spec{}), submit(t, fa, foreman.Spec{})}
		<-with.began
		<-without.began
		without.has.Store(false)
		without.end <- foreman.Permanent(errors.New("there is no such model"))
		with.end <- nil
		<-with.began
		with.end <- nil
		for _, id := range ids {
			j := await(t, fa, id)
			require.Equal(t, foreman.Done, j.State)
			require.Equal(t, 1, j.Attempt, "that one does not count")
		}
	})
}

// A process that has its queue for itself begins what its backend has not, to hear so.
func TestFollowerAlone(t *testing.T) {
	without := &moving{gate: *newGate(), come: make(chan struct{})}
	f := newForeman(t, without, foreman.Options{})
	start(t, f)
	id := submit(t, f, foreman.Spec{})
	<-without.began
	without.end <- foreman.Permanent(errors.New("there is no such model"))
	require.Equal(t, foreman.Failed, await(t, f, id).State)
}

func TestPeersShowWhatRuns(t *testing.T) {
	for _, late := range []bool{false, true} {
		name := "who watches before it begins"
		if late {
			name = "who comes while it runs"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { showWhatRuns(t, late) })
		})
	}
}

func showWhatRuns(t *testing.T, late bool) {
	a := newGate()
	fa, fb := two(t, a, newGate(), false)
	require.NoError(t, fb.Pause(t.Context(), "m")) // nothing begins yet
	start(t, fa)
	start(t, fb)
	synctest.Wait()
	require.NoError(t, fb.Do(t.Context(), foreman.Spec{Model: "other"}, func(context.Context, foreman.Turn) error {
		id := submit(t, fa, foreman.Spec{})
		var seen []foreman.Event
		watched := make(chan struct{})
		watch := func() {
			go func() {
				defer close(watched)
				for e, err := range fb.Watch(t.Context(), id, 0) {
					if err != nil {
						return
					}
					seen = append(seen, e)
				}
			}()
			synctest.Wait()
		}
		if !late {
			watch()
		}
		// Only the other one has a free slot.
		require.NoError(t, fa.Resume(t.Context(), "m"))
		task := <-a.began
		text := strings.Repeat("0123456789abcdef", 1<<14) + "the end" // 256 KiB and a bit
		_, _ = task.Write([]byte(text))
		if late {
			watch()
		}
		task.Progress(0.5, "half")
		synctest.Wait()
		time.Sleep(time.Second)
		_, _ = task.Write([]byte("!"))
		a.end <- nil
		<-watched

		var states []foreman.State
		var out []byte
		var missing int64
		var progress *foreman.Progress
		for _, e := range seen {
			switch e.Type {
			case foreman.StateEvent:
				states = append(states, e.State)
			case foreman.OutputEvent:
				out = append(out, e.Output...)
			case foreman.GapEvent:
				missing += e.Missing
			case foreman.ProgressEvent:
				progress = e.Progress
			}
		}
		require.Equal(t, []foreman.State{"queued", "working", "done"}, states)
		require.NotNil(t, progress)
		require.Equal(t, 0.5, progress.Fraction)
		require.EqualValues(t, len(text)+1, int64(len(out))+missing)
		require.True(t, bytes.HasSuffix([]byte(text+"!"), out))
		require.LessOrEqual(t, missing, int64(8), "beyond the window of 256 KiB")
		return nil
	}))
}

func TestPeersCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan time.Time, 1)
		began := make(chan struct{})
		fa, fb := two(t, foreman.BackendFunc(func(ctx context.Context, _ *foreman.Task) error {
			close(began)
			<-ctx.Done()
			stopped <- time.Now()
			return ctx.Err()
		}), newGate(), false)
		start(t, fa)
		id := submit(t, fa, foreman.Spec{})
		<-began
		start(t, fb)
		synctest.Wait()
		asked := time.Now()
		_, err := fb.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Less(t, (<-stopped).Sub(asked), 100*time.Millisecond, "long before the next heartbeat")
	})
}

func TestPeersPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fa, fb := two(t, newGate(), newGate(), false)
		start(t, fa)
		start(t, fb)
		nothing := func(context.Context, foreman.Turn) error { return nil }
		require.NoError(t, fb.Do(t.Context(), foreman.Spec{Model: "m"}, nothing))
		require.NoError(t, fa.Pause(t.Context()))
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		err := fb.Do(t.Context(), foreman.Spec{Model: "m", QueueTimeout: time.Second}, nothing)
		require.ErrorIs(t, err, foreman.ErrBusy)
		require.NoError(t, fa.Resume(t.Context()))
		require.NoError(t, fb.Do(t.Context(), foreman.Spec{Model: "m", QueueTimeout: time.Second}, nothing))
	})
}

// A long poll is answered by the process that the job does not run in; where the
// processes cannot tell each other anything, within a second or so.
func TestPeersLongPoll(t *testing.T) {
	for _, mute := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newGate()
			fa, fb := two(t, a, newGate(), mute)
			start(t, fa)
			id := submit(t, fa, foreman.Spec{})
			<-a.began
			start(t, fb)
			answered := make(chan time.Time, 1)
			go func() {
				r := httptest.NewRequest(http.MethodGet, "/jobs/"+id.String(), nil)
				r.Header.Set("Prefer", "wait=60")
				w := httptest.NewRecorder()
				fb.Handler().ServeHTTP(w, r)
				if strings.Contains(w.Body.String(), `"state":"done"`) {
					answered <- time.Now()
				}
			}()
			synctest.Wait()
			ended := time.Now()
			a.end <- nil
			took := (<-answered).Sub(ended)
			if mute {
				require.LessOrEqual(t, took, 2*time.Second)
			} else {
				require.Less(t, took, 100*time.Millisecond)
			}
		})
	}
}

// What has expired is removed by one of those who share the store, and by another when
// that one has gone.
func TestPeersRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{Store: openStore(t)}
		o := foreman.Options{Lease: 10 * time.Second, JobTTL: time.Minute}
		o.Store, o.Dir = shared.join(), t.TempDir()
		fa := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil }), o)
		o.Store, o.Dir = shared.join(), t.TempDir()
		fb := newForeman(t, newGate(), o)
		stopA := start(t, fa)
		first := submit(t, fa, foreman.Spec{})
		await(t, fa, first)
		time.Sleep(2 * time.Minute)
		_, err := fa.Status(t.Context(), first)
		require.ErrorIs(t, err, foreman.ErrNotFound)
		second := submit(t, fa, foreman.Spec{})
		await(t, fa, second)
		stopA()
		start(t, fb)
		time.Sleep(2 * time.Minute)
		_, err = fb.Status(t.Context(), second)
		require.ErrorIs(t, err, foreman.ErrNotFound)
		shared.mu.Lock()
		defer shared.mu.Unlock()
		require.Len(t, shared.offices, 3, "retention, sweep, and being at work")
	})
}

// laggy is a member whose messages take a while.
type laggy struct{ *member }

func (l laggy) Publish(ctx context.Context, messages ...string) error {
	time.Sleep(4 * time.Millisecond)
	return l.member.Publish(ctx, messages...)
}

// Who begins to watch while others do already is shown all of it too, though what comes
// first is in the middle.
func TestPeersShowLateWatchersAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{Store: openStore(t)}
		a := newGate()
		join := func(b foreman.Backend) *foreman.Foreman {
			f := newForeman(t, b, foreman.Options{Store: laggy{shared.join()}, Dir: t.TempDir(), Lease: 2 * time.Hour})
			start(t, f)
			return f
		}
		fa := join(a)
		id := submit(t, fa, foreman.Spec{})
		task := <-a.began
		fb, fc := join(newGate()), join(newGate())
		synctest.Wait()
		watch := func(f *foreman.Foreman) <-chan string {
			told := make(chan string, 1)
			go func() {
				var out []byte
				for e, err := range f.Watch(t.Context(), id, 0) {
					if err != nil {
						return
					}
					out = append(out, e.Output...)
				}
				told <- string(out)
			}()
			return told
		}
		var wrote strings.Builder
		write := func() {
			for range 1000 {
				token := fmt.Sprintf("%d ", wrote.Len())
				_, _ = task.Write([]byte(token))
				wrote.WriteString(token)
				time.Sleep(2 * time.Millisecond)
			}
		}
		first := watch(fb)
		write()
		second := watch(fc)
		write()
		time.Sleep(time.Second)
		a.end <- nil
		require.Equal(t, wrote.String(), <-first)
		require.Equal(t, wrote.String(), <-second)
	})
}

// A message that nobody here has written does no harm.
func TestPeersBearAnyMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{Store: openStore(t)}
		a := newGate()
		fa := newForeman(t, a, foreman.Options{Store: shared.join(), Dir: t.TempDir()})
		fb := newForeman(t, newGate(), foreman.Options{Store: shared.join(), Dir: t.TempDir()})
		other := shared.join()
		start(t, fa)
		id := submit(t, fa, foreman.Spec{})
		<-a.began
		start(t, fb)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for _, err := range fb.Watch(t.Context(), id, 0) {
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		show := func(rest string) string {
			return `{"show":{"job":"` + id.String() + `","sequence":18446744073709551615,` + rest + `}}`
		}
		require.NoError(t, other.Publish(t.Context(), "", "null", "[]", `{"jobs":["x"]}`, `{"unknown":1}`, `{"show":{}}`, `{"watch":[{}]}`,
			show(`"offset":9223372036854775807,"output":"AAAA"`), show(`"offset":-1`), show(`"offset":1125899906842624,"first":true,"asked":0,"output":"AAAA"`),
			`{"watch":[{"job":"`+id.String()+`","sequence":2,"offset":-5}]}`, `{"watch":[{"job":"`+id.String()+`","sequence":2,"offset":9223372036854775807}]}`))
		synctest.Wait()
		a.end <- nil
		<-watched
	})
}
