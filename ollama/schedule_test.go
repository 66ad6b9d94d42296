package ollama_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// Queued jobs have each model loaded once, one after the other, and Ollama is never asked
// for one while it is busy with another, though it could hold all of them.
func TestQueuedJobsSwapSeldom(t *testing.T) {
	const jobs, perSlot = 200, 2
	var models *ollamatest.Server
	var unloaded, loaded atomic.Int32 // requests that came with something loaded that should not have been
	o := ofOllama(ollamatest.Options{MaxLoaded: 3, Parallel: perSlot, Lingers: 2}, "a", "b", "c")
	o.Hook = func(q ollamatest.Request, _ *ollamatest.Behavior) {
		switch s := models.Stats(); {
		case own(q) && s.Loads != s.Unloads:
			unloaded.Add(1)
		case !own(q) && s.Loads != s.Unloads+1:
			loaded.Add(1)
		}
	}
	models = ollamatest.New(t, o)
	f, err := foreman.New(newBackend(t, &ollama.Options{URL: models.URL()}), &foreman.Options{Dir: t.TempDir(), Logger: quiet, PerSlot: perSlot})
	require.NoError(t, err)
	var ids []ulid.ULID
	for i := range jobs {
		ids = append(ids, submit(t, f, "abc"[i%3:i%3+1], `{"prompt":"one two"}`))
	}
	run(t, f)
	for _, id := range ids {
		j := await(t, f, id)
		require.Equal(t, foreman.Done, j.State, "%v", j.Error)
		require.Equal(t, 1, j.Attempt)
	}

	s := models.Stats()
	t.Logf("%d jobs over 3 models: %d loads, %d unloads", jobs, s.Loads, s.Unloads)
	require.Equal(t, 3, s.Loads)
	require.Equal(t, s.Loads-1, s.Unloads)
	require.Zero(t, s.Crossings, "requests that came while one for another model was not answered")
	require.Zero(t, unloaded.Load(), "loads that began before the last unload had ended")
	require.Zero(t, loaded.Load(), "requests that came with another model loaded, or none")
	require.LessOrEqual(t, s.MaxInFlight, perSlot)
	require.Len(t, asked(models, "/api/generate"), jobs)
}

// run runs a Foreman until the test ends.
func run(tb testing.TB, f *foreman.Foreman) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		require.NoError(tb, <-ran)
		require.NoError(tb, f.Close())
	})
}

// Work that keeps coming for three models makes few loads of it, and no model waits for
// the others to have no more.
func TestWorkThatKeepsComing(t *testing.T) {
	o := ofOllama(ollamatest.Options{MaxLoaded: 3}, "a", "b", "c")
	r := newRig(t, setUp{model: o, foreman: &foreman.Options{MaxWait: 50 * time.Millisecond}})
	begun := time.Now()
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			model := "abc"[i%3 : i%3+1]
			for n := range 25 {
				if (n+i)%2 == 0 {
					_, err := r.f.Submit(t.Context(), foreman.Spec{Model: model, Input: json.RawMessage(`{"prompt":"one two"}`)})
					if err != nil {
						t.Error(err)
					}
				} else if a := call(limited(t), "POST", r.front.URL+"/api/chat", chat(model, "one two")); a.status != 200 {
					t.Error(a)
				}
			}
		})
	}
	all.Wait()
	wait(t, r.model, func(s ollamatest.Stats) bool {
		return s.InFlight == 0 && len(asked(r.model, "/api/chat"))+len(asked(r.model, "/api/generate")) == 150
	})
	took := time.Since(begun)
	s := r.model.Stats()
	t.Logf("150 requests over 3 models in %s: %d loads, %d unloads", took.Round(time.Millisecond), s.Loads, s.Unloads)
	require.Equal(t, s.Loads-1, s.Unloads)
	require.Zero(t, s.Crossings)
	require.LessOrEqual(t, s.MaxInFlight, 1)
	require.Less(t, s.Loads, 75, "though they came in turns of three models")
}

// Options that have a model loaded anew are lanes of their own.
func TestOptionsAreSwapsToo(t *testing.T) {
	s := ollamatest.New(t, ofOllama(ollamatest.Options{MaxLoaded: 3}, "m"))
	f, err := foreman.New(newBackend(t, &ollama.Options{URL: s.URL()}), &foreman.Options{Dir: t.TempDir(), Logger: quiet})
	require.NoError(t, err)
	var ids []ulid.ULID
	for i := range 20 {
		ids = append(ids, submit(t, f, "m", fmt.Sprintf(`{"prompt":"a","options":{"num_ctx":%d,"seed":%d}}`, 4096*(1+i%2), i)))
	}
	run(t, f)
	for _, id := range ids {
		require.Equal(t, foreman.Done, await(t, f, id).State)
	}
	require.Equal(t, 2, s.Stats().Loads)
	require.Equal(t, 1, s.Stats().Unloads)
}

// Two slots hold two models, and each is left alone by the loads of the other.
func TestTwoSlots(t *testing.T) {
	s := ollamatest.New(t, ofOllama(ollamatest.Options{MaxLoaded: 2}, "a", "b"))
	f, err := foreman.New(newBackend(t, &ollama.Options{URL: s.URL()}), &foreman.Options{Dir: t.TempDir(), Logger: quiet, Slots: 2})
	require.NoError(t, err)
	var ids []ulid.ULID
	for i := range 40 {
		ids = append(ids, submit(t, f, "ab"[i%2:i%2+1], `{"prompt":"a"}`))
	}
	run(t, f)
	for _, id := range ids {
		require.Equal(t, foreman.Done, await(t, f, id).State)
	}
	require.Equal(t, 2, s.Stats().Loads)
	require.Zero(t, s.Stats().Unloads)
	require.Equal(t, 1, s.Stats().Of("a").MaxInFlight)
	require.Equal(t, 1, s.Stats().Of("b").MaxInFlight)
}

// What is loaded already is used first.
func TestWhatIsLoadedComesFirst(t *testing.T) {
	s := ollamatest.New(t, ofOllama(ollamatest.Options{}, "a", "b"))
	require.Equal(t, 200, call(t.Context(), "POST", s.URL()+"/api/generate", `{"model":"b"}`).status)
	f, err := foreman.New(newBackend(t, &ollama.Options{URL: s.URL()}), &foreman.Options{Dir: t.TempDir(), Logger: quiet})
	require.NoError(t, err)
	a, b := submit(t, f, "a", `{"prompt":"a"}`), submit(t, f, "b", `{"prompt":"a"}`)
	run(t, f)
	require.True(t, await(t, f, b).FinishedAt.Before(await(t, f, a).StartedAt))
	require.Equal(t, []string{`{"model":"b:latest","keep_alive":0}`, `{"model":"a"}`}, told(s, "/api/generate"))
}

// A load that nobody waits for any more is called off.
func TestLoadForNobody(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{"slow": {LoadDelay: time.Hour}, "b": {}}})
	f, _ := newForeman(t, newBackend(t, &ollama.Options{URL: s.URL()}), nil)
	id := submit(t, f, "slow", `{"prompt":"a"}`)
	wait(t, s, func(s ollamatest.Stats) bool { return s.InFlight == 1 })
	require.Equal(t, "model_load", status(t, f, id).Queue.WaitingFor)
	_, err := f.Cancel(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, foreman.Done, await(t, f, submit(t, f, "b", `{"prompt":"a"}`)).State)
	require.Equal(t, 1, s.Stats().Aborted)
}
