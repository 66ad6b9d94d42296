package foreman_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// loader is a backend whose models take ten seconds to load, and that keeps a record.
type loader struct {
	*gate
	mu     sync.Mutex
	loads  []string // "lane", with "!" behind it if it was called off, "?" if it was loaded
	keeps  [][]string
	loaded []string
	fails  error
	// remembers has it be quick with the lane that it has loaded last.
	remembers bool
	last      string
}

func (l *loader) Load(ctx context.Context, lane string, keep []string) error {
	if l.again(lane) {
		return nil
	}
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
		lane += "!"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads, l.keeps = append(l.loads, lane), append(l.keeps, keep)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.last = lane
	return l.fails
}

func (l *loader) again(lane string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.remembers || lane != l.last {
		return false
	}
	l.loads, l.keeps = append(l.loads, lane+"?"), append(l.keeps, nil)
	return true
}

func (l *loader) Loaded(context.Context) ([]string, error) { return l.loaded, nil }

// Model takes "a ctx=1" for a lane of the model a.
func (l *loader) Model(lane string) string {
	model, _, _ := strings.Cut(lane, " ")
	return model
}

func (l *loader) record() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.loads...)
}

func TestLoader(t *testing.T) {
	t.Run("before its jobs, once for all of them", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &loader{gate: newGate(), loaded: []string{"b"}}
			f := newForeman(t, l, foreman.Options{})
			a1, b1 := submit(t, f, foreman.Spec{Model: "a"}), submit(t, f, foreman.Spec{Model: "b"})
			a2, b2 := submit(t, f, foreman.Spec{Model: "a"}), submit(t, f, foreman.Spec{Model: "b"})
			start(t, f)
			for range 2 {
				require.Equal(t, "b", (<-l.began).Spec.Model, "what is loaded comes first")
				l.end <- nil
			}
			await(t, f, b1)
			await(t, f, b2)
			time.Sleep(time.Second)
			require.Equal(t, "model_load", status(t, f, a1).Queue.WaitingFor)
			q, err := f.Queue(t.Context())
			require.NoError(t, err)
			require.Equal(t, "loading", q.Slots[0].State)
			for range 2 {
				<-l.began
				l.end <- nil
			}
			await(t, f, a1)
			await(t, f, a2)
			require.Equal(t, []string{"a"}, l.record())
		})
	})
	t.Run("for one lane of a model at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &loader{gate: newGate()}
			f := newForeman(t, l, foreman.Options{Slots: 2})
			start(t, f)
			first := submit(t, f, foreman.Spec{Model: "a ctx=1"})
			<-l.began
			second, other := submit(t, f, foreman.Spec{Model: "a ctx=2"}), submit(t, f, foreman.Spec{Model: "b"})
			require.Equal(t, "b", (<-l.began).Spec.Model)
			l.end <- nil
			l.end <- nil
			await(t, f, first)
			await(t, f, other)
			<-l.began
			l.end <- nil
			await(t, f, second)
			require.Equal(t, []string{"a ctx=1", "b", "a ctx=2"}, l.record())
			require.Equal(t, []string{"b"}, l.keeps[2], "in place of a, not of b")
		})
	})
	t.Run("is called off when nobody waits any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &loader{gate: newGate()}
			f := newForeman(t, l, foreman.Options{})
			start(t, f)
			ctx, cancel := context.WithCancel(t.Context())
			called := make(chan error, 1)
			go func() {
				called <- f.Do(ctx, foreman.Spec{Model: "a"}, func(context.Context, foreman.Turn) error { return nil })
			}()
			time.Sleep(time.Second)
			cancel()
			require.ErrorIs(t, <-called, context.Canceled)
			begun := time.Now()
			synctest.Wait()
			require.Equal(t, []string{"a!"}, l.record())
			require.Less(t, time.Since(begun), 100*time.Millisecond)
			require.NoError(t, f.Do(t.Context(), foreman.Spec{Model: "b"}, func(context.Context, foreman.Turn) error { return nil }))
			require.Equal(t, []string{"a!", "b"}, l.record())
		})
	})
	t.Run("an error is told by the backend itself", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &loader{gate: newGate(), fails: errors.New("no such model")}
			f := newForeman(t, l, foreman.Options{})
			start(t, f)
			id := submit(t, f, foreman.Spec{Model: "a"})
			<-l.began
			l.end <- foreman.Permanent(errors.New("no such model"))
			require.Equal(t, foreman.BackendRejected, await(t, f, id).Error.Type)
		})
	})
	t.Run("is told what the other slots hold", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &loader{gate: newGate()}
			f := newForeman(t, l, foreman.Options{Slots: 2})
			submit(t, f, foreman.Spec{Model: "a"})
			submit(t, f, foreman.Spec{Model: "b"})
			start(t, f)
			for range 2 {
				<-l.began
			}
			require.ElementsMatch(t, [][]string{{"a"}, {"b"}}, l.keeps)
			l.end <- nil
			l.end <- nil
		})
	})
}

// What a slot has loaded is trusted while it is at work, and looked for after a pause.
func TestLoaderIsAskedAgainAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{gate: newGate(), loaded: []string{"a"}}
		f := newForeman(t, l, foreman.Options{Slots: 2})
		start(t, f)
		work := func(model string) {
			id := submit(t, f, foreman.Spec{Model: model})
			<-l.began
			time.Sleep(time.Minute)
			l.end <- nil
			await(t, f, id)
		}
		work("a")
		require.Empty(t, l.record(), "it has just been seen")
		work("b")
		work("b")
		require.Equal(t, []string{"b"}, l.record())
		for range 3 {
			time.Sleep(9 * time.Second)
			work("b")
		}
		require.Equal(t, []string{"b"}, l.record())
		time.Sleep(11 * time.Second)
		work("b")
		work("a")
		require.Equal(t, []string{"b", "b", "a"}, l.record())
		require.Equal(t, [][]string{{"a"}, {"a"}, {"b"}}, l.keeps)

		time.Sleep(time.Hour)
		called := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			called <- f.Do(ctx, foreman.Spec{Model: "b"}, func(context.Context, foreman.Turn) error { return nil })
		}()
		time.Sleep(time.Second)
		q, err := f.Queue(t.Context())
		require.NoError(t, err)
		require.Equal(t, "loading", q.Slots[1].State)
		cancel()
		require.ErrorIs(t, <-called, context.Canceled)
		synctest.Wait()
		require.Equal(t, "b!", l.record()[3], "called off like any load")
	})
}
