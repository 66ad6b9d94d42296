package foreman

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// lane is a lane that every pool serves, with jobs of which the longest has waited so
// long.
func lane(name string, waited time.Duration) laneView {
	return laneView{
		name: name, model: name, maxWait: time.Minute, serves: func(int) bool { return true },
		places: func(int) int { return 1 },
		jobs:   waiting{n: 1, since: ago(waited)},
	}
}

func (l laneView) with(priority int) laneView {
	l.jobs.priority, l.calls.priority = priority, priority
	return l
}

// called is a lane with callers in place of jobs.
func (l laneView) called() laneView {
	l.jobs, l.calls = waiting{}, l.jobs
	return l
}

func (l laneView) onlyIn(pools ...int) laneView {
	l.serves = func(p int) bool { return slices.Contains(pools, p) }
	return l
}

func (l laneView) patient(d time.Duration) laneView {
	l.patience = d
	return l
}

func (l laneView) atMost(slots int) laneView {
	l.slots = slots
	return l
}

// slots reads slots: "a" serves lane a and is free, "a*" is busy there, "a+" has come
// there and begun nothing yet, "-" has nothing loaded; "1:" before it is its pool, and "!" behind it says
// that its backend is down.
func slots(s string) (out []slotView) {
	for i, f := range strings.Fields(s) {
		v := slotView{used: noon.Add(time.Duration(i) * time.Second)}
		if pool, rest, ok := strings.Cut(f, ":"); ok {
			v.pool, f = int(pool[0]-'0'), rest
		}
		v.model = modelOf
		f, v.down = strings.TrimSuffix(f, "!"), strings.HasSuffix(f, "!")
		f, v.busy = strings.TrimSuffix(f, "*"), strings.HasSuffix(f, "*")
		if !v.busy {
			v.room = 1
		}
		if rest, ok := strings.CutSuffix(f, "+"); ok {
			f, v.busy, v.fresh = rest, true, true
		}
		v.lane = strings.TrimSuffix(f, "-")
		out = append(out, v)
	}
	return out
}

// modelOf takes a and A for two lanes of one model.
func modelOf(lane string) string { return strings.ToLower(lane) }

func TestPlan(t *testing.T) {
	const s, maxWait = time.Second, time.Minute
	for _, tc := range []struct {
		name  string
		slots string
		lanes []laneView
		want  string
	}{
		{"nothing waits", "a", nil, "-"},
		{"keeps its lane", "a*", []laneView{lane("a", 0), lane("b", s)}, "a"},
		{"keeps its lane when it is free", "a", []laneView{lane("a", 0), lane("b", s)}, "a"},
		{"leaves an empty lane", "a", []laneView{lane("b", 0)}, "b"},
		{"is to leave it when what runs has ended", "a*", []laneView{lane("b", 0)}, "b"},
		{"moves for a higher priority", "a*", []laneView{lane("a", 0), lane("b", 0).with(1)}, "b"},
		{"does not move for a lower one", "a*", []laneView{lane("a", 0), lane("b", time.Hour).with(-1)}, "a"},
		{"moves for one that has waited too long", "a*", []laneView{lane("a", 0), lane("b", maxWait+1)}, "b"},
		{"but not at the very moment", "a*", []laneView{lane("a", 0), lane("b", maxWait)}, "a"},
		{"and not before it has begun something", "a+", []laneView{lane("a", 0), lane("b", maxWait+1)}, "a"},
		{"even then for a higher priority", "a+", []laneView{lane("a", 0), lane("b", 0).with(1)}, "b"},
		{"callers elsewhere are no reason to move", "a*", []laneView{lane("a", 0), lane("b", s).called()}, "a"},
		{"free: priority before age", "-", []laneView{lane("a", s), lane("b", 0).with(1)}, "b"},
		{"free: age", "-", []laneView{lane("a", 1), lane("b", 2)}, "b"},
		{"free: callers before jobs", "-", []laneView{lane("a", 2), lane("b", 1).called()}, "b"},
		{"free: jobs of a higher priority before callers", "-", []laneView{lane("a", 2).with(1), lane("b", 1).called()}, "a"},
		{"free: too long a wait before callers", "-", []laneView{lane("a", 2*maxWait), lane("b", 1).called()}, "a"},

		{"no model twice in a pool", "a* b*", []laneView{lane("a", s)}, "a -"},
		{"a lane that is still running is not loaded elsewhere in the pool", "a* -", []laneView{lane("b", 0).with(1), lane("a", 0)}, "a b"},
		{"whoever is free takes it before somebody busy leaves", "a* b", []laneView{lane("a", 0), lane("c", 0).with(1)}, "a c"},
		{"what is not loaded goes where nothing is", "a - b", []laneView{lane("c", 0)}, "- c -"},
		{"or where the model has been of no use for the longest", "a b c", []laneView{lane("d", 0), lane("a", 0)}, "a d -"},
		{"two lanes, two slots", "- -", []laneView{lane("a", 1), lane("b", 2)}, "b a"},

		{"one model in two ways: one after the other", "a* -", []laneView{lane("a", s), lane("A", s)}, "a -"},
		{"and not while the other still runs", "a* -", []laneView{lane("A", s)}, "A -"},
		{"where the model is", "b a -", []laneView{lane("A", s)}, "- A -"},
		{"but others can be served meanwhile", "a* -", []laneView{lane("a", 2*s), lane("A", s), lane("b", 0)}, "a b"},
		{"in another pool at once", "0:a* 1:-", []laneView{lane("a", 2*s), lane("A", s)}, "a A"},

		{"in another pool it may be loaded again", "0:a* 1:-", []laneView{lane("a", s)}, "a a"},
		{"after what nobody serves", "0:a* 1:-", []laneView{lane("a", 2*s), lane("b", s)}, "a b"},
		{"but for a higher priority", "0:a* 1:-", []laneView{lane("a", 2*s).with(1), lane("b", s)}, "a a"},
		{"and in no more slots than the model may", "0:a* 1:-", []laneView{lane("a", s).atMost(1)}, "a -"},
		{"work for a slot that comes to it soon is no reason to put out another model", "0:a* 1:b", []laneView{lane("a", s).patient(2 * s)}, "a -"},
		{"but when it has waited as long as a load takes it is", "0:a* 1:b", []laneView{lane("a", 2*s).patient(2 * s)}, "a a"},
		{"nor need it where nothing is loaded", "0:a* 1:-", []laneView{lane("a", s).patient(2 * s)}, "a a"},
		{"nor if nobody is at it", "0:c* 1:b", []laneView{lane("a", s).patient(2 * s)}, "- a"},
		{"nor for a higher priority than what is served", "0:a* 1:b*", []laneView{lane("a", s).patient(2 * s).with(1), lane("b", s)}, "a a"},
		{"nor for work that others have room for", "0:a 1:-", []laneView{lane("a", time.Hour)}, "a -"},
		{"first where the model is", "0:- 1:a", []laneView{lane("a", s).atMost(1)}, "- a"},
		{"only where it is served", "0:- 1:-", []laneView{lane("a", s).onlyIn(1), lane("b", 2*s).onlyIn(0)}, "b a"},
		{"no jobs for a backend that is out of reach", "0:-! 1:-", []laneView{lane("a", s), lane("b", s)}, "- a"},
		{"but callers, who hear of it", "-!", []laneView{lane("a", s).called(), lane("b", s)}, "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := plan(noon, slots(tc.slots), tc.lanes)
			for i := range got {
				if got[i] == "" {
					got[i] = "-"
				}
			}
			require.Equal(t, tc.want, strings.Join(got, " "))
		})
	}
}

// What holds of every plan, whatever there is.
func TestPlanProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200_000 {
		ss, ls := randomDesk(r)
		out := plan(noon, ss, ls)
		if problem := wrong(ss, ls, out); problem != "" {
			t.Fatalf("%d: %s\nslots %+v\nlanes %s\nplan %q", n, problem, ss, describe(ls), out)
		}
	}
}

func randomDesk(r *rand.Rand) (ss []slotView, ls []laneView) {
	names := []string{"a", "b", "A", "c"}[:1+r.IntN(4)]
	pools := 1 + r.IntN(3)
	for range 1 + r.IntN(4) {
		s := slotView{pool: r.IntN(pools), model: modelOf, used: ago(time.Duration(r.IntN(3)) * time.Second), down: r.IntN(8) == 0}
		if r.IntN(4) > 0 {
			s.lane = names[r.IntN(len(names))]
			s.busy = r.IntN(2) == 0
			s.fresh = s.busy && r.IntN(3) == 0
			s.room = r.IntN(3)
		}
		// No model is twice in a pool to begin with.
		if !slices.ContainsFunc(ss, func(o slotView) bool { return o.pool == s.pool && modelOf(o.lane) == modelOf(s.lane) && s.lane != "" }) {
			ss = append(ss, s)
		}
	}
	for _, name := range names {
		if r.IntN(4) == 0 {
			continue
		}
		l := lane(name, time.Duration(r.IntN(120))*time.Second).with(r.IntN(3))
		l.calls = waiting{n: r.IntN(2), since: ago(time.Duration(r.IntN(120)) * time.Second), priority: r.IntN(3)}
		if l.calls.n == 0 {
			l.calls = waiting{}
		} else if r.IntN(2) == 0 {
			l.jobs = waiting{}
		}
		served := 1 + r.IntN(7)
		l.serves = func(p int) bool { return served>>p&1 == 1 }
		l.slots = r.IntN(3)
		l.patience = time.Duration(r.IntN(2)) * time.Minute
		ls = append(ls, l)
	}
	return ss, ls
}

func describe(ls []laneView) string {
	var b strings.Builder
	for _, l := range ls {
		fmt.Fprintf(&b, "%s jobs %+v calls %+v slots %d served by", l.name, l.jobs, l.calls, l.slots)
		for p := range 3 {
			fmt.Fprint(&b, " ", l.serves(p))
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// wrong says what is wrong with a plan.
func wrong(ss []slotView, ls []laneView, out []string) string {
	asks := func(i int, name string) (priority int, asks bool) {
		for k := range ls {
			if ls[k].name == name {
				p := planner{now: noon, slots: ss, lanes: ls}
				d, ok := p.demand(i, &ls[k])
				return d.priority, ok
			}
		}
		return 0, false
	}
	// at is how many slots serve a lane beside i, and whether one of its pool does.
	at := func(i int, name string) (n int, near bool) {
		for o := range ss {
			if o == i {
				continue
			}
			if out[o] == name || ss[o].busy && ss[o].lane == name {
				n++
			}
			model := modelOf(name)
			near = near || ss[o].pool == ss[i].pool && (out[o] != "" && modelOf(out[o]) == model || ss[o].busy && modelOf(ss[o].lane) == model)
		}
		return n, near
	}
	for i, s := range ss {
		priority, ok := asks(i, out[i])
		_, near := at(i, out[i])
		switch {
		case out[i] == "":
		case !ok:
			return fmt.Sprintf("slot %d is to serve %q, which asks nothing of it", i, out[i])
		case near && out[i] != s.lane:
			return fmt.Sprintf("%q would be loaded twice in a pool", out[i])
		}
		for k := range ls {
			l := &ls[k]
			p, ok := asks(i, l.name)
			n, near := at(i, l.name)
			covered := n > 0 && l.jobs.n+l.calls.n <= roomFor(ss, out, i, l)
			if !ok || near || covered || l.name == out[i] || l.slots > 0 && n >= l.slots {
				continue
			}
			spared := n > 0 && s.lane != "" && s.lane != l.name && noon.Sub(since(l, s.down)) < l.patience
			if out[i] == "" && (!s.busy || s.lane != l.name) && !spared {
				return fmt.Sprintf("slot %d has nothing to do, though %q waits", i, l.name)
			}
			if out[i] != "" && p > priority {
				return fmt.Sprintf("slot %d serves %q, though %q has a higher priority", i, out[i], l.name)
			}
			overdue := noon.Sub(since(l, s.down)) > l.maxWait
			if n == 0 && p == priority && overdue && out[i] == s.lane && !s.fresh {
				return fmt.Sprintf("slot %d stays with %q, though %q has waited too long", i, out[i], l.name)
			}
		}
	}
	return ""
}

// roomFor is how many more of a lane can run in the slots beside i that are to serve it.
func roomFor(ss []slotView, out []string, i int, l *laneView) (n int) {
	for o, s := range ss {
		switch {
		case o == i || out[o] != l.name || s.down:
		case s.lane == l.name:
			n += s.room
		case s.busy:
		default:
			n += l.places(s.pool)
		}
	}
	return n
}

func since(l *laneView, down bool) time.Time {
	if down || l.jobs.n == 0 {
		return l.calls.since
	}
	return earlier(l.jobs.since, l.calls.since)
}
