package foreman

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// arrival is a job of a recorded pattern: when it came, for which model, and how long it
// ran.
type arrival struct {
	at    time.Duration
	model string
	run   time.Duration
}

// recorded reads a pattern: a line for each job, `1.25s a 3s`.
func recorded(t *testing.T, name string) (out []arrival) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "arrivals", name+".txt"))
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		var at, model, run string
		_, err := fmt.Sscan(line, &at, &model, &run)
		require.NoError(t, err, line)
		a := arrival{model: model}
		a.at, err = time.ParseDuration(at)
		require.NoError(t, err)
		a.run, err = time.ParseDuration(run)
		require.NoError(t, err)
		out = append(out, a)
	}
	require.True(t, slices.IsSortedFunc(out, func(a, b arrival) int { return int(a.at - b.at) }))
	return out
}

// outcome is what came of a pattern.
type outcome struct {
	swaps           int
	mean, p99, most time.Duration // waiting, from arrival to start
}

func outcomeOf(swaps int, waits []time.Duration) outcome {
	slices.Sort(waits)
	sum := time.Duration(0)
	for _, w := range waits {
		sum += w
	}
	n := len(waits)
	return outcome{swaps: swaps, mean: sum / time.Duration(n), p99: waits[(n*99-1)/100], most: waits[n-1]}
}

// A slot takes so long to load a model.
const loadTime = 10 * time.Second

// simulated serves a pattern with one slot, in the order that the scheduler gives it. It
// also tells the longest time in which a lane had work and nothing of it began.
func simulated(as []arrival, maxWait time.Duration) (out outcome, unserved time.Duration) {
	slot := slotView{}
	left := map[string]time.Time{}
	var now time.Duration
	var waits []time.Duration
	swaps, next := 0, 0
	ended := map[string]time.Duration{} // when the latest of a model did
	queues := map[string][]arrival{}
	for len(waits) < len(as) {
		for next < len(as) && as[next].at <= now {
			queues[as[next].model] = append(queues[as[next].model], as[next])
			next++
		}
		var lanes []laneView
		for model, q := range queues {
			if len(q) > 0 {
				lanes = append(lanes, laneView{
					name: model, model: model, maxWait: maxWait, serves: func(int) bool { return true },
					jobs: waiting{n: len(q), since: later(noon.Add(q[0].at), left[model])},
				})
			}
		}
		lane := plan(noon.Add(now), []slotView{slot}, lanes)[0]
		if lane == "" {
			now = as[next].at
			continue
		}
		if lane != slot.lane {
			if len(queues[slot.lane]) > 0 {
				left[slot.lane] = noon.Add(now)
			}
			swaps++
			now += loadTime
			slot = slotView{lane: lane, fresh: true}
			continue // others may have come meanwhile
		}
		delete(left, lane)
		a := queues[lane][0]
		queues[lane] = queues[lane][1:]
		waits = append(waits, now-a.at)
		unserved = max(unserved, now-max(a.at, ended[lane]))
		now += a.run
		ended[lane] = now
		slot.fresh = false
	}
	return outcomeOf(swaps, waits), unserved
}

// firstCome serves a pattern with one slot, first come first served.
func firstCome(as []arrival) outcome {
	var now time.Duration
	var waits []time.Duration
	swaps, loaded := 0, ""
	for _, a := range as {
		now = max(now, a.at)
		if a.model != loaded {
			swaps++
			now += loadTime
			loaded = a.model
		}
		waits = append(waits, now-a.at)
		now += a.run
	}
	return outcomeOf(swaps, waits)
}

// optimum is the schedule with the fewest swaps, and of those one that ends early, in
// which no job waits for longer than bound: whoever knew all arrivals beforehand could do
// it. ok is false if there is none.
//
// A state is how many jobs of each model have been served and which model is loaded; of
// the ways to get there those are kept that are not worse in both swaps and time.
func optimum(as []arrival, bound time.Duration) (out outcome, ok bool) {
	var models []string
	queues := map[string][]arrival{}
	for _, a := range as {
		if !slices.Contains(models, a.model) {
			models = append(models, a.model)
		}
		queues[a.model] = append(queues[a.model], a)
	}
	type state struct {
		served [4]int
		loaded int
	}
	type way struct {
		swaps  int
		now    time.Duration
		before *way
		wait   time.Duration
	}
	level := map[state][]*way{{loaded: -1}: {{}}}
	for range as {
		next := map[state][]*way{}
		for s, ways := range level {
			for m, model := range models {
				if s.served[m] == len(queues[model]) {
					continue
				}
				a := queues[model][s.served[m]]
				to := s
				to.served[m]++
				to.loaded = m
				for _, w := range ways {
					n := &way{swaps: w.swaps, now: max(w.now, a.at), before: w}
					if m != s.loaded {
						n.swaps++
						n.now = max(w.now+loadTime, a.at) // it may be loaded before the job comes
					}
					if n.wait = n.now - a.at; n.wait > bound {
						continue
					}
					n.now += a.run
					if !slices.ContainsFunc(next[to], func(o *way) bool { return o.swaps <= n.swaps && o.now <= n.now }) {
						next[to] = append(slices.DeleteFunc(next[to], func(o *way) bool { return n.swaps <= o.swaps && n.now <= o.now }), n)
					}
				}
			}
		}
		level = next
	}
	var best *way
	for _, ways := range level {
		for _, w := range ways {
			if best == nil || w.swaps < best.swaps || w.swaps == best.swaps && w.now < best.now {
				best = w
			}
		}
	}
	if best == nil {
		return out, false
	}
	var waits []time.Duration
	for w := best; w.before != nil; w = w.before {
		waits = append(waits, w.wait)
	}
	return outcomeOf(best.swaps, waits), true
}

// The scheduler against first come first served, and against whoever knows beforehand
// what will come.
func TestSimulation(t *testing.T) {
	const maxWait = 2 * time.Minute
	for _, name := range []string{"three-models", "bursts", "steady-and-rare", "backlog"} {
		t.Run(name, func(t *testing.T) {
			as := recorded(t, name)
			ours, _ := simulated(as, maxWait)
			fifo := firstCome(as)
			longest := time.Duration(0)
			for _, a := range as {
				longest = max(longest, a.run)
			}
			models := map[string]bool{}
			for _, a := range as {
				models[a.model] = true
			}
			best, ok := optimum(as, max(ours.most, maxWait))
			require.True(t, ok, "ours is one")
			t.Logf("%d jobs of %d models, one slot, %s to load one", len(as), len(models), loadTime)
			for _, o := range []struct {
				name string
				outcome
			}{{"first come", fifo}, {"foreman", ours}, {"optimum", best}} {
				t.Logf("%-11s %3d swaps, waiting mean %7s p99 %7s longest %7s", o.name, o.swaps, o.mean.Round(time.Second/10), o.p99.Round(time.Second/10), o.most.Round(time.Second/10))
			}
			require.GreaterOrEqual(t, ours.swaps, best.swaps, "nobody is better than the best")
			require.LessOrEqual(t, ours.mean, fifo.mean)
			if name == "three-models" {
				require.LessOrEqual(t, float64(ours.swaps), 0.4*float64(fifo.swaps), "at least 60 %% fewer")
				// A lane that has waited for MaxWait is next, behind those that have so
				// for longer: each of these takes a load and one job.
				bound := maxWait + longest + time.Duration(len(models)-1)*(loadTime+longest)
				require.LessOrEqual(t, ours.most, bound)
			}
		})
	}
}

// A lane is served within MaxWait and what is to be finished and loaded before it,
// however much the others have to do.
func TestNoLaneWaitsForEver(t *testing.T) {
	const maxWait = time.Minute
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		var as []arrival
		at := time.Duration(0)
		for range 200 {
			at += time.Duration(r.ExpFloat64() * float64(3*time.Second))
			as = append(as, arrival{at: at, model: string(rune('a' + r.IntN(4))), run: time.Duration(1+r.IntN(4)) * time.Second})
		}
		const most = 4 * time.Second // for a job
		_, unserved := simulated(as, maxWait)
		require.LessOrEqual(t, unserved, maxWait+3*(loadTime+most)+most, "seed %d", seed)
	}
}
