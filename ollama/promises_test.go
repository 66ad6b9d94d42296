package ollama_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// 200 jobs for three models on one slot, of a server whose loads and answers take their
// time: few swaps, and no lane waits for longer than it may.
func TestQueuedJobsWithinTheirBound(t *testing.T) {
	const jobs, perSlot, maxWait = 200, 2, 150 * time.Millisecond
	slow := ollamatest.Behavior{LoadDelay: 30 * time.Millisecond, TokenDelay: 5 * time.Millisecond}
	models := ollamatest.New(t, &ollamatest.Options{Parallel: perSlot, Models: map[string]ollamatest.Behavior{"a": slow, "b": slow, "c": slow}})
	watch := newStopwatch()
	f, err := foreman.New(newBackend(t, &ollama.Options{URL: models.URL(), Transport: watch}),
		&foreman.Options{Dir: t.TempDir(), Logger: quiet, PerSlot: perSlot, MaxWait: maxWait})
	require.NoError(t, err)
	var ids []ulid.ULID
	for i := range jobs {
		j, err := f.Submit(t.Context(), foreman.Spec{Model: "abc"[i%3 : i%3+1], Input: json.RawMessage(`{"prompt":"one two"}`)})
		require.NoError(t, err)
		ids = append(ids, j.ID)
	}
	begun := time.Now()
	run(t, f)
	for _, id := range ids {
		require.Equal(t, foreman.Done, await(t, f, id).State)
	}

	got, s := watch.figures(begun), models.Stats()
	// What runs has to end; then each lane that has waited for longer has its model
	// loaded and begins one thing, and so does this one. How long that took is measured:
	// the machine may be busy with other things.
	bound := maxWait + got.run + 2*(got.swap+got.run)
	// While all three have work, two swaps are the least for the longest wait that there was.
	least := max(3, 1+2*int(got.together/got.longest()))
	t.Logf("%d jobs over 3 models in %s: %d loads; the least is 3 if a lane may wait for ever, and %d for waits as long as these", jobs, ms(got.took), s.Loads, least)
	t.Logf("a run took %s at most, a swap %s; the next of a lane waited for %s at most, and may for %s", ms(got.run), ms(got.swap), ms(got.longest()), ms(bound))
	for lane, wait := range got.waits {
		require.LessOrEqual(t, wait, bound+maxWait/2, lane)
	}
	require.LessOrEqual(t, s.Loads, 3+2*int((got.took+maxWait-1)/maxWait), "two swaps for each time that the others may wait")
	require.LessOrEqual(t, s.MaxInFlight, perSlot)
	require.Zero(t, s.Crossings)
}

// Two clients that keep asking for the loaded model starve whoever asks for another one,
// if they ask Ollama. Here they get one more answer for each place, once that one has
// waited for MaxWait.
func TestNobodyStarves(t *testing.T) {
	const maxWait = 100 * time.Millisecond
	quick := ollamatest.Behavior{TokenDelay: time.Millisecond}
	watch := newStopwatch()
	r := newRig(t, setUp{
		model:   &ollamatest.Options{Models: map[string]ollamatest.Behavior{"a": quick, "b": quick}},
		backend: &ollama.Options{Transport: watch},
		foreman: &foreman.Options{MaxWait: maxWait},
	})
	ctx, stop := context.WithCancel(limited(t))
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for range 2 {
		clients.Go(func() {
			for ctx.Err() == nil {
				call(ctx, "POST", r.front.URL+"/api/chat", chat("a", "one two three four five"))
			}
		})
	}
	wait(t, r.model, func(s ollamatest.Stats) bool { return s.Of("a").Requests > 4 })
	b := call(limited(t), "POST", r.front.URL+"/api/chat", chat("b", "one two"))
	require.Equal(t, 200, b.status)
	waited, err := time.ParseDuration(b.header.Get("X-Foreman-Wait") + "s")
	require.NoError(t, err)

	wait(t, r.model, func(s ollamatest.Stats) bool { return s.Of("a").Loads == 2 })
	var came time.Time
	for _, one := range watch.work() {
		if one.model == "b" {
			came = one.begun.Add(-waited)
		}
	}
	require.False(t, came.IsZero())
	before, late := 0, 0
	for _, one := range watch.work() {
		switch at := one.begun.Sub(came); {
		case one.model == "b" || at < 0 || at > waited:
		case at > maxWait+time.Millisecond: // the header has no smaller ones
			late++
		default:
			before++
		}
	}
	t.Logf("b waited for %s of at most %s; %d of a began within that, and %d after it", ms(waited), maxWait, before, late)
	require.LessOrEqual(t, late, 1, "what had a place by then")
}

// A caller that hangs up frees what it has within a tenth of a second, be it a place in
// the queue, a load or an answer. The best of some tries counts: a machine can be busy.
func TestHangUpFreesAtOnce(t *testing.T) {
	const tries, atMost = 5, 100 * time.Millisecond
	step := make(chan struct{})
	r := newRig(t, setUp{model: &ollamatest.Options{Models: map[string]ollamatest.Behavior{
		"large": {LoadDelay: time.Hour}, "m": {Step: step}, "llama3": {},
	}}})
	queue := func() *foreman.QueueView {
		q, err := r.f.Queue(t.Context())
		require.NoError(t, err)
		return q
	}
	slot := func(state string) func() bool {
		return func() bool { return queue().Slots[0].State == state }
	}
	callers := func(n int) func() bool {
		return func() bool {
			q := queue()
			return n == 0 && len(q.Lanes) == 0 || len(q.Lanes) == 1 && q.Lanes[0].Callers == n
		}
	}
	for _, c := range []struct {
		name, model string
		there, free func() bool
	}{
		{"loading", "large", slot("loading"), slot("idle")},
		{"generating", "m", slot("running"), slot("idle")},
		{"queued", "m", callers(1), callers(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "queued" {
				ctx, hangUp := context.WithCancel(limited(t))
				holder := goCall(ctx, "POST", r.front.URL+"/api/chat", chat("m", "a"))
				require.Eventually(t, slot("running"), 20*time.Second, time.Millisecond)
				defer func() {
					hangUp()
					<-holder
				}()
			}
			best := time.Hour
			for range tries {
				ctx, hangUp := context.WithCancel(limited(t))
				called := goCall(ctx, "POST", r.front.URL+"/api/chat", chat(c.model, "a b c"))
				require.Eventually(t, c.there, 20*time.Second, time.Millisecond)
				begun := time.Now()
				hangUp()
				for !c.free() {
					require.Less(t, time.Since(begun), 20*time.Second)
				}
				best = min(best, time.Since(begun))
				require.ErrorIs(t, (<-called).err, context.Canceled)
			}
			t.Logf("free after %s, the best of %d", best.Round(10*time.Microsecond), tries)
			require.Less(t, best, atMost)
		})
	}
	require.Equal(t, 200, call(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", "a")).status)
}

// One model has one lane, and so many places, whatever it is called.
func TestOneModelOfManyNames(t *testing.T) {
	const perSlot = 2
	step := make(chan struct{})
	r := newRig(t, setUp{
		model:   &ollamatest.Options{Parallel: 8, MaxLoaded: 3, Models: map[string]ollamatest.Behavior{"llama3": {Step: step}}},
		foreman: &foreman.Options{Slots: 3, PerSlot: perSlot},
	})
	var answers []<-chan answer
	for range 3 {
		for _, name := range []string{"llama3", "llama3:latest", "LLaMA3", "library/llama3"} {
			answers = append(answers, goCall(limited(t), "POST", r.front.URL+"/v1/chat/completions", chat(name, "a")))
		}
	}
	require.Eventually(t, func() bool {
		q, err := r.f.Queue(t.Context())
		require.NoError(t, err)
		return len(q.Lanes) == 1 && q.Lanes[0].Callers == len(answers)-perSlot && r.model.Stats().InFlight == perSlot
	}, 20*time.Second, time.Millisecond)
	close(step)
	for _, a := range answers {
		require.Equal(t, 200, (<-a).status)
	}
	require.Equal(t, perSlot, r.model.Stats().MaxInFlight)
	require.Equal(t, 1, r.model.Stats().Loads)
}

// The limits that a server has on a request and on its answer do not count the wait.
func TestWaitIsLongerThanTheLimitsOfTheServer(t *testing.T) {
	const limit = 300 * time.Millisecond // in which a busy machine reads a request, too
	r, step, holder, _ := holding(t, setUp{})
	s := httptest.NewUnstartedServer(ollama.Handler(r.f, nil))
	s.Config.ReadHeaderTimeout, s.Config.ReadTimeout, s.Config.WriteTimeout, s.Config.IdleTimeout = limit, limit, limit, limit
	s.Start()
	defer s.Close()
	var answers []<-chan answer
	for path, body := range generations {
		answers = append(answers, goCall(limited(t), "POST", s.URL+path, body))
	}
	require.Eventually(t, func() bool {
		q, err := r.f.Queue(t.Context())
		require.NoError(t, err)
		return len(q.Lanes) == 1 && q.Lanes[0].Callers == len(generations) && time.Since(q.Lanes[0].Since) > 2*limit
	}, 20*time.Second, time.Millisecond)
	close(step)
	require.Equal(t, 200, (<-holder).status)
	for _, a := range answers {
		got := <-a
		require.NoError(t, got.err)
		require.Equal(t, 200, got.status)
	}
}
