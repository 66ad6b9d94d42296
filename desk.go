package foreman

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foreman-go/foreman/store"
)

// desk hands jobs and callers of Do to slots.
type desk struct {
	f       *Foreman
	alarm   alarm
	loads   sync.WaitGroup
	loadCtx context.Context // of Run: no model is loaded after it

	mu       sync.Mutex
	slots    []*slot              // of all pools
	calls    []*call              // of Do that wait, in order
	left     map[string]time.Time // when a lane with work was last left by its slot
	ready    ready
	changes  atomic.Uint64 // of what is ready in the store, made by this process
	seen     []laneView    // what waited when last looked, paused lanes too
	paused   paused
	paces    paces
	pausing  sync.Mutex // held while what is paused is read, before mu
	unsure   []unsure   // of run
	retry    time.Time  // of run: when the store is tried again, after it has failed
	draining bool       // nothing begins any more
}

func (d *desk) init(f *Foreman) {
	d.f = f
	d.alarm.init()
	d.left = map[string]time.Time{}
	for _, p := range f.pools {
		for n := range p.Slots {
			s := &slot{pool: p, number: n + 1, places: p.PerSlot, runs: map[*running]struct{}{}}
			s.ready.L = &d.mu
			p.slots = append(p.slots, s)
			d.slots = append(d.slots, s)
		}
	}
}

// run assigns work until ctx ends, and has what was claimed too far ahead given back.
func (d *desk) run(ctx context.Context, giveBack func([]*attempt)) {
	d.loadCtx = ctx
	d.findLoaded(ctx)
	for ctx.Err() == nil {
		late := time.AfterFunc(storeCheck, func() { d.lose(); d.alarm.ring() })
		next, err := d.assign(ctx)
		late.Stop()
		if err != nil && ctx.Err() == nil {
			d.f.o.Logger.Error("cannot claim jobs; trying again", "error", err)
			d.lose()
			d.retry = d.f.now().Add(time.Second)
			next = d.retry
		}
		back, due := d.overstayed()
		if len(d.unsure) > 0 {
			back = append(back, d.doubtful(ctx)...)
		}
		giveBack(back)
		next = earlier(due, next)
		if len(d.unsure) > 0 {
			next = earlier(next, d.f.now().Add(time.Second))
		}
		d.alarm.sleep(ctx, d.f.now(), next)
	}
	d.forget()
	d.loads.Wait()
}

// assign gives every slot what it can do now, and returns when to look again if
// nobody wakes the desk before.
func (d *desk) assign(ctx context.Context) (next time.Time, err error) {
	if d.f.now().Before(d.retry) { // whoever wakes the desk meanwhile
		d.lose()
		return d.retry, nil
	}
	if !d.wanting() {
		return d.f.now().Add(d.f.o.Lease / 2), nil // other processes do not wake this one
	}
	if err := d.read(ctx); err != nil {
		return next, err
	}
	d.mu.Lock()
	wants, due := d.decide()
	next = earlier(due, d.ready.until)
	for _, w := range wants {
		w.slot.claiming = true
	}
	d.mu.Unlock()
	defer d.claimed(wants)
	for _, w := range wants {
		got, err := d.claim(ctx, w)
		if err != nil {
			return next, err
		}
		if got == 0 { // the lanes have changed since they were read
			next = earlier(next, d.f.now().Add(reapPause))
		}
	}
	return next, nil
}

// claimed lets the slots leave their lanes again.
func (d *desk) claimed(wants []want) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range wants {
		w.slot.claiming = false
	}
}

// overstayed takes back what slots have claimed too far ahead, and says when to look
// again.
func (d *desk) overstayed() (back []*attempt, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.f.now()
	for _, s := range d.slots {
		some, due := s.overstayed(now, d.paused.has(s.lane))
		back = append(back, some...)
		next = earlier(next, due)
	}
	return back, next
}

// wanting reports whether there is anything to assign. While the store is away there may
// be: callers of Do would not leave jobs a slot until it is known that they wait.
func (d *desk) wanting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.draining && (d.ready.away || slices.ContainsFunc(d.slots, func(s *slot) bool { return s.loading != nil || s.want() > 0 }))
}

// want is how many jobs to claim for a slot, of the lane that it serves.
type want struct {
	slot *slot
	lane string
	jobs int
}

// decide brings slots to the lanes that they are to serve, lets callers of Do in, and
// returns how many jobs to claim for which slot, and when a lane will have waited for
// too long. mu is held.
func (d *desk) decide() (wants []want, due time.Time) {
	if d.draining {
		return nil, due
	}
	now := d.f.now()
	d.seen = d.views(d.ready.lanes, true)
	open := slices.DeleteFunc(slices.Clone(d.seen), func(l laneView) bool { return l.paused })
	for i := range open {
		for _, wait := range [...]time.Duration{open[i].maxWait + time.Microsecond, open[i].patience} {
			if at := open[i].since().Add(wait); at.After(now) {
				due = earlier(due, at)
			}
		}
	}
	for _, s := range d.slots {
		if s.loading != nil {
			if at := s.loading.since.Add(d.f.o.MaxWait); at.After(now) {
				due = earlier(due, at)
			}
		}
	}
	serving := d.move(now, open)
	for _, v := range serving {
		if n := d.serve(now, v.slot, v.lane); n > 0 {
			wants = append(wants, want{v.slot, v.lane.name, n})
		}
	}
	return wants, due
}

// served is a slot at a lane that has work.
type served struct {
	slot *slot
	lane *laneView
}

// move brings slots to the lanes that the plan has for them, has the models loaded there,
// and returns those that are where they are to be. mu is held.
func (d *desk) move(now time.Time, open []laneView) (out []served) {
	var moved []*slot
	for i, lane := range plan(now, d.slotViews(now), open) {
		s := d.slots[i]
		at := slices.IndexFunc(open, func(l laneView) bool { return l.name == lane })
		switch {
		case s.loading != nil && at < 0 && d.ready.away:
			continue // for jobs that are there when the store is
		case s.loading != nil && (at < 0 || lane != s.lane):
			s.loading.cancel() // nobody waits for it any more, or others before
			d.leaveLane(s.lane, now)
			continue
		case at < 0, lane != s.lane && !s.empty():
			continue // finish first; the last one out wakes the desk
		}
		l := &open[at]
		if lane != s.lane {
			d.leaveLane(s.lane, now)
			s.serve(lane, l.places(slices.Index(d.f.pools, s.pool)), now)
			moved = append(moved, s)
		} else if s.forgot(now) || s.doubtful && s.empty() && !s.fresh && !s.pool.down.Load() {
			s.fresh = true
			moved = append(moved, s)
		}
		delete(d.left, lane)
		out = append(out, served{s, l})
	}
	for _, s := range moved { // once it is known what the others hold
		d.load(s)
	}
	return out
}

// leaveLane notes that a slot has left a lane: if it has work, that waits anew. mu is held.
func (d *desk) leaveLane(lane string, now time.Time) {
	if slices.ContainsFunc(d.seen, func(o laneView) bool { return o.name == lane }) {
		d.left[lane] = now
	}
}

// serve lets callers of Do into a slot, and returns how many jobs to claim for it. mu is
// held.
func (d *desk) serve(now time.Time, s *slot, l *laneView) int {
	if s.loading != nil {
		return 0
	}
	jobs := l.jobs.n > 0 && !s.pool.down.Load() && s.pool.has(l.model)
	// Callers of Do that keep coming must not keep jobs out for ever.
	s.owed = jobs && l.jobs.priority >= l.calls.priority && l.calls.n > 0 && now.Sub(later(l.jobs.since, s.lastJob)) > l.maxWait
	d.admit(s)
	if !jobs {
		return 0
	}
	return s.want()
}

// claim takes jobs for a slot. They are durably this process's, with their attempt
// counted, before any of them is begun.
func (d *desk) claim(ctx context.Context, w want) (got int, err error) {
	f, s := d.f, w.slot
	defer d.changes.Add(1) // of what is ready, or it was not as it had been read
	var started starts
	// Not to be called off half-way: what was claimed must be known here.
	records, err := f.o.Store.Claim(context.WithoutCancel(ctx), store.Claim{
		Worker: f.runs.worker, Lane: w.lane, Limit: w.jobs, Lease: f.o.Lease,
	}, func(r store.Record) store.Change {
		e, c := f.startOf(r)
		started.add(r, e, c)
		return c
	})
	if err != nil {
		d.doubt(&started, s.pool)
		return 0, fmt.Errorf("claim: %w", err)
	}
	attempts := make([]*attempt, 0, len(records))
	for _, r := range records {
		if r.State != store.Working {
			f.o.Logger.Error("a job cannot be read and has failed", "job", r.ID)
			f.changed(r.Head, nil)
			continue
		}
		e := started.entries[r.Ref()]
		e.head, e.version = r.Head, r.Version
		attempts = append(attempts, newAttempt(f, e, s.pool))
	}
	f.runs.add(attempts)
	for _, a := range attempts {
		f.news(a.id)
	}
	f.outbox.wake(started.deliveries)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ahead = append(s.ahead, attempts...)
	s.since, s.claiming = f.now(), false
	if len(attempts) == 0 {
		s.owed = false
	}
	for range min(len(attempts), s.places) {
		s.ready.Signal()
	}
	return len(records), nil
}

// next waits for an attempt to begin. It is nil when the drain has begun.
func (d *desk) next(s *slot) *attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if d.draining {
			return nil
		}
		if len(s.ahead) > 0 && s.busy < s.places {
			d.admit(s) // callers of Do go first
		}
		if len(s.ahead) > 0 && s.busy < s.places && !d.paused.has(s.lane) {
			a := s.ahead[0]
			s.ahead[0] = nil
			s.ahead = s.ahead[1:]
			a.running = running{job: a.id, model: a.task.Spec.Model, owner: a.task.Spec.Owner, since: d.f.now()}
			s.begin(&a.running)
			if s.want() > 0 {
				d.alarm.ring()
			}
			return a
		}
		s.ready.Wait()
	}
}

// over frees the place of an attempt that took so long.
func (d *desk) over(s *slot, a *attempt, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.took(took)
	d.paces.ran(s.lane, took)
	d.free(s, &a.running)
}

// free gives up a place. Who gets it is decided with a view to all that waits, so
// that those who ask for the lane that is served cannot keep others out. mu is held.
func (d *desk) free(s *slot, r *running) {
	s.busy--
	s.used = d.f.now()
	delete(s.runs, r)
	if len(s.ahead) > 0 && s.busy < s.places {
		s.ready.Signal()
	}
	if d.draining {
		s.ready.Broadcast()
	} else if s.want() > 0 {
		d.replan()
	}
}

// waitForCalls waits until the callers of Do have left.
func (d *desk) waitForCalls() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.slots {
		for s.busy > 0 {
			s.ready.Wait()
		}
	}
}

// drain stops everything from beginning, and returns what was claimed and has not.
func (d *desk) drain() []*attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = true
	var unrun []*attempt
	for _, s := range d.slots {
		unrun = append(unrun, s.ahead...)
		s.ahead = nil
		s.ready.Broadcast()
	}
	for _, c := range d.calls {
		c.refused <- errShuttingDown
	}
	d.calls = nil
	return unrun
}

// reopen undoes drain, for the next Run.
func (d *desk) reopen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = false
}

// waitingFor says what a job that is ready waits for.
func (d *desk) waitingFor(lane, model string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused.has(lane) {
		return "paused"
	}
	for _, s := range d.slots {
		if s.lane == lane && s.loading != nil {
			return "model_load"
		}
	}
	for _, p := range d.f.pools {
		if p.serves(model) && p.has(model) && !p.down.Load() {
			return "slot"
		}
	}
	return "backend"
}
