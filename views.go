package foreman

import (
	"slices"
	"time"

	"github.com/foreman-go/foreman/store"
)

func (d *desk) slotViews(now time.Time) []slotView {
	out := make([]slotView, len(d.slots))
	for i, s := range d.slots {
		out[i] = slotView{
			pool: slices.Index(d.f.pools, s.pool), down: s.pool.down.Load(),
			lane: s.lane, busy: !s.empty(), room: s.places - s.busy - len(s.ahead), fresh: s.fresh, used: s.used,
		}
		if s.loading != nil && now.Sub(s.loading.since) > d.f.o.MaxWait {
			out[i].fresh = false // others need not wait for a load for longer than for work
		}
		if l, ok := s.pool.Backend.(Loader); ok {
			out[i].model = l.Model
		}
	}
	return out
}

// views puts together the jobs and the callers of Do that wait. To schedule them, what
// counts is since when a lane has not been served, and jobs that this process cannot run
// are left to others.
func (d *desk) views(lanes []store.Lane, schedule bool) []laneView {
	left := func(lane string) (t time.Time) {
		if schedule {
			t = d.left[lane]
		}
		return t
	}
	since := func(l *store.Lane) time.Time {
		if schedule {
			return l.Top // what has a lower priority moves nobody
		}
		return l.Since
	}
	out := make([]laneView, 0, len(lanes)+len(d.calls))
	at := map[string]int{}
	view := func(name, model string) *laneView {
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, laneView{
				name: name, model: model, paused: d.paused.has(name), patience: d.paces.known(name).patience(),
				serves: func(p int) bool { return d.f.pools[p].serves(model) && (d.f.pools[p].has(model) || d.isCalled(name)) },
			})
			out[i].limit(d.f, d.f.limits(name, model))
		}
		return &out[i]
	}
	for _, l := range lanes {
		if l.Ready > 0 && (!schedule || d.f.has(l.Kind)) {
			view(l.Name, l.Kind).jobs = waiting{n: l.Ready, priority: int(l.Priority), since: later(since(&l), left(l.Name))}
		}
	}
	for _, c := range d.calls {
		w := &view(c.lane, c.model).calls
		if w.n++; w.n == 1 || c.priority > w.priority {
			w.priority = c.priority
		}
		w.since = earlier(w.since, later(c.since, left(c.lane)))
	}
	for lane := range d.left {
		if !schedule {
			break
		}
		if _, waits := at[lane]; !waits {
			delete(d.left, lane)
		}
	}
	return out
}

// isCalled reports whether callers of Do wait in a lane, who cannot go to another process.
// mu is held.
func (d *desk) isCalled(lane string) bool {
	return slices.ContainsFunc(d.calls, func(c *call) bool { return c.lane == lane })
}
