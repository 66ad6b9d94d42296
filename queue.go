package foreman

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// QueueView is what waits and what runs.
type QueueView struct {
	// Paused says that everything is: see [Foreman.Pause].
	Paused bool
	// Lanes have something that is ready to begin, or are paused; those that have waited
	// longest first. Callers of Do are those of this process.
	Lanes []LaneView
	// Slots are those of this process.
	Slots []SlotView
	// Pools are the backends of this process.
	Pools []PoolView
}

// LaneView is one lane.
type LaneView struct {
	Lane     string
	Model    string // of its first job or caller
	Jobs     int    // that are ready to begin
	Callers  int    // of Do, that wait
	Priority int    // the highest of them
	// Since is since when the longest of them has been waiting; it may be later than
	// that when very many wait. It is zero when nobody does.
	Since  time.Time
	Paused bool // by its name, or since everything is
}

// SlotView is one slot.
type SlotView struct {
	Pool   string
	Number int    // from 1, within the pool
	Lane   string // that it serves, or has served last; empty for none
	// State is "idle", "loading" or "running".
	State string
	// Since is since when the model has been loading, if it is.
	Since   time.Time
	Places  int // how many can run at once
	Running []Running
}

// Running is a job or a caller of Do that runs.
type Running struct {
	JobID ulid.ULID // zero for a caller
	Model string
	Owner string
	Since time.Time
}

// PoolView is one pool.
type PoolView struct {
	Name string
	Down bool // its backend is out of reach, as far as is known
}

// Queue tells what waits and what runs. What it costs grows with the number of lanes,
// and not with that of jobs. Errors: [ErrUnavailable] and the context's.
func (f *Foreman) Queue(ctx context.Context) (*QueueView, error) {
	lanes, err := f.o.Store.Lanes(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", fromStore(err))
	}
	if err := f.desk.readPaused(ctx); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	d := &f.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &QueueView{Paused: d.paused.all}
	for _, l := range d.views(lanes, false) {
		v := LaneView{
			Lane: l.name, Model: l.model, Jobs: l.jobs.n, Callers: l.calls.n, Priority: l.jobs.priority,
			Since: l.since(), Paused: l.paused,
		}
		if l.jobs.n == 0 || l.calls.n > 0 && l.calls.priority > v.Priority {
			v.Priority = l.calls.priority
		}
		out.Lanes = append(out.Lanes, v)
	}
	for _, lane := range d.paused.lanes {
		if !slices.ContainsFunc(out.Lanes, func(v LaneView) bool { return v.Lane == lane }) {
			out.Lanes = append(out.Lanes, LaneView{Lane: lane, Paused: true})
		}
	}
	slices.SortStableFunc(out.Lanes, func(a, b LaneView) int {
		if a.Since.IsZero() != b.Since.IsZero() {
			if a.Since.IsZero() {
				return 1
			}
			return -1
		}
		return a.Since.Compare(b.Since)
	})
	for _, s := range d.slots {
		out.Slots = append(out.Slots, s.view())
	}
	for _, p := range f.pools {
		out.Pools = append(out.Pools, PoolView{Name: p.Name, Down: p.down.Load()})
	}
	return out, nil
}

// view is the slot as others see it. The desk's mu is held.
func (s *slot) view() SlotView {
	v := SlotView{Pool: s.pool.Name, Number: s.number, Lane: s.lane, State: "idle", Places: s.places}
	for r := range s.runs {
		v.Running = append(v.Running, Running{JobID: r.job, Model: r.model, Owner: r.owner, Since: r.since})
	}
	slices.SortFunc(v.Running, func(a, b Running) int { return a.Since.Compare(b.Since) })
	switch {
	case s.loading != nil:
		v.State, v.Since = "loading", s.loading.since
	case len(v.Running) > 0:
		v.State = "running"
	}
	return v
}
