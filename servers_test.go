package foreman_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// Two servers and two models: each stays with its own, though one model has more to do
// than its server can take at once. A load takes ten seconds, an answer one.
func TestServersKeepTheirModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &loader{gate: newGate(), remembers: true}, &loader{gate: newGate(), remembers: true}
		f := newForeman(t, foreman.Pools{{Name: "one", Backend: one}, {Name: "two", Backend: two}}, foreman.Options{})
		start(t, f)
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		var clients sync.WaitGroup
		var mu sync.Mutex
		answers, waited := 0, time.Duration(0)
		for i, model := range []string{"a", "a", "b"} {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			clients.Go(func() {
				for ctx.Err() == nil {
					time.Sleep(time.Duration(r.ExpFloat64() * float64(4*time.Second)))
					_ = f.Do(ctx, foreman.Spec{Model: model}, func(_ context.Context, turn foreman.Turn) error {
						mu.Lock()
						defer mu.Unlock()
						answers++
						waited += turn.Waited
						return nil
					})
				}
			})
		}
		clients.Wait()
		all := slices.Concat(one.record(), two.record())
		loads := len(slices.DeleteFunc(all, func(lane string) bool { return strings.HasSuffix(lane, "?") }))
		t.Logf("%d answers, %d loads, mean wait %s", answers, loads, waited/time.Duration(answers))
		require.LessOrEqual(t, loads, 5)
		require.Greater(t, answers, 2000)
	})
}

// A second server helps with a model once its work has waited as long as a load takes.
func TestServersHelpEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &loader{gate: newGate()}, &loader{gate: newGate()}
		f := newForeman(t, foreman.Pools{{Name: "one", Backend: one}, {Name: "two", Backend: two}}, foreman.Options{})
		start(t, f)
		busy := make(chan struct{})
		defer close(busy)
		call := func(model string, run func()) {
			_ = f.Do(t.Context(), foreman.Spec{Model: model}, func(context.Context, foreman.Turn) error {
				run()
				return nil
			})
		}
		call("a", func() {})
		call("b", func() {})
		go call("a", func() { <-busy })
		synctest.Wait()
		begun := time.Now()
		call("a", func() {})
		require.Equal(t, 20*time.Second, time.Since(begun), "ten until it is worth a load, and ten for that")
		require.Equal(t, []string{"b", "a"}, append(two.record()[:0:0], two.record()...))
	})
}

// A job of a low priority that has waited for too long is no reason to leave a lane for
// others of its own that have just come.
func TestAnOldJobOfALowPriorityMovesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
			order = append(order, task.Spec.Model)
			return sleeps(10*time.Second)(ctx, task)
		}), foreman.Options{DrainTimeout: time.Millisecond, MaxWait: time.Minute})
		stop := start(t, f)
		for range 40 {
			submit(t, f, foreman.Spec{Model: "a"})
		}
		submit(t, f, foreman.Spec{Model: "b", Priority: -5})
		time.Sleep(65 * time.Second)
		for range 5 {
			submit(t, f, foreman.Spec{Model: "b"})
		}
		time.Sleep(54 * time.Second)
		stop()
		require.Equal(t, slices.Repeat([]string{"a"}, 12), order)
	})
}
