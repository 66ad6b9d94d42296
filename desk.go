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
	f     *Foreman
	alarm alarm

	down atomic.Bool // the backend is out of reach

	mu       sync.Mutex
	slots    []*slot
	calls    []*call              // of Do that wait, in order
	left     map[string]time.Time // when a lane with work was last left by its slot
	draining bool                 // nothing begins any more
}

func (d *desk) init(f *Foreman) {
	d.f = f
	d.alarm.init()
	d.left = map[string]time.Time{}
	for range f.o.Slots {
		s := &slot{places: f.o.PerSlot}
		s.ready.L = &d.mu
		d.slots = append(d.slots, s)
	}
}

// wake makes the desk look for work.
func (d *desk) wake() { d.alarm.ring() }

// run assigns work until ctx ends, and has what was claimed too far ahead given back.
func (d *desk) run(ctx context.Context, giveBack func([]*attempt)) {
	for ctx.Err() == nil {
		next, err := d.assign(ctx)
		back, due := d.overstayed()
		giveBack(back)
		next = earlier(due, next)
		if err != nil && ctx.Err() == nil {
			d.f.o.Logger.Error("cannot claim jobs; trying again", "error", err)
			next = d.f.now().Add(time.Second)
		}
		d.alarm.sleep(ctx, d.f.now(), next)
	}
}

// assign gives every slot what it can do now, and returns when to look again if
// nobody wakes the desk before.
func (d *desk) assign(ctx context.Context) (next time.Time, err error) {
	idle := d.f.now().Add(d.f.o.Lease / 2) // other processes do not wake this one
	if !d.wanting() {
		return idle, nil
	}
	up, err := d.f.o.Store.Upcoming(ctx)
	if err != nil {
		return next, fmt.Errorf("upcoming: %w", err)
	}
	lanes, err := d.f.o.Store.Lanes(ctx)
	if err != nil {
		return next, fmt.Errorf("lanes: %w", err)
	}
	next = earlier(up.Run, idle)
	for _, s := range d.byLane(lanes) {
		n := d.prepare(s, lanes)
		if n == 0 {
			continue
		}
		got, err := d.claim(ctx, s, n)
		if err != nil {
			return next, err
		}
		if got == 0 { // the lanes have changed since they were read
			next = earlier(next, d.f.now().Add(reapPause))
		}
	}
	return next, nil
}

// byLane lists the slots, those first whose own lane has work: they keep it.
func (d *desk) byLane(lanes []store.Lane) []*slot {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keep, move []*slot
	for _, s := range d.slots {
		if slices.ContainsFunc(lanes, func(l store.Lane) bool { return l.Name == s.lane }) {
			keep = append(keep, s)
		} else {
			move = append(move, s)
		}
	}
	return append(keep, move...)
}

// overstayed takes back what slots have claimed too far ahead, and says when to look
// again.
func (d *desk) overstayed() (back []*attempt, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.f.now()
	for _, s := range d.slots {
		some, due := s.overstayed(now)
		back = append(back, some...)
		next = earlier(next, due)
	}
	return back, next
}

func (d *desk) wanting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.draining && slices.ContainsFunc(d.slots, func(s *slot) bool { return s.want() > 0 })
}

// prepare decides which lane a slot serves, lets callers of Do in, and returns how
// many jobs to claim for it.
func (d *desk) prepare(s *slot, lanes []store.Lane) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return 0
	}
	now := d.f.now()
	demands := d.demands(s, lanes)
	lane, ok := pick(now, s.lane, demands, d.f.o.MaxWait)
	if !ok {
		return 0
	}
	if lane != s.lane {
		if !s.empty() {
			return 0 // finish first; the last one out wakes the desk
		}
		if slices.ContainsFunc(demands, func(o demand) bool { return o.lane == s.lane }) {
			d.left[s.lane] = now
		}
		s.serve(lane)
	}
	delete(d.left, lane)
	d.admit(s)
	if d.down.Load() || !slices.ContainsFunc(lanes, func(l store.Lane) bool { return l.Name == lane }) {
		return 0
	}
	return s.want()
}

// demands puts together the jobs and the callers of Do that wait.
func (d *desk) demands(s *slot, lanes []store.Lane) []demand {
	out := make([]demand, 0, len(lanes)+len(d.calls))
	at := map[string]int{}
	add := func(n demand) {
		if left := d.left[n.lane]; left.After(n.since) {
			n.since = left
		}
		i, ok := at[n.lane]
		if !ok {
			n.served = slices.ContainsFunc(d.slots, func(o *slot) bool { return o != s && o.lane == n.lane && !o.empty() })
			at[n.lane] = len(out)
			out = append(out, n)
			return
		}
		o := &out[i]
		if n.priority > o.priority {
			o.priority, o.sync = n.priority, n.sync
		} else if n.priority == o.priority {
			o.sync = o.sync || n.sync
		}
		o.since = earlier(o.since, n.since)
	}
	if !d.down.Load() {
		for _, l := range lanes {
			add(demand{lane: l.Name, priority: int(l.Priority), since: l.Since})
		}
	}
	for _, c := range d.calls {
		add(demand{lane: c.lane, priority: c.priority, since: c.since, sync: true})
	}
	for lane := range d.left {
		if _, waits := at[lane]; !waits {
			delete(d.left, lane)
		}
	}
	return out
}

// claim takes jobs for a slot. They are durably this process's, with their attempt
// counted, before any of them is begun.
func (d *desk) claim(ctx context.Context, s *slot, n int) (got int, err error) {
	f := d.f
	started := map[store.Ref]entry{}
	var deliveries []store.Delivery
	// Not to be called off half-way: what was claimed must be known here.
	records, err := f.o.Store.Claim(context.WithoutCancel(ctx), store.Claim{
		Worker: f.runs.worker, Lane: s.lane, Limit: n, Lease: f.o.Lease,
	}, func(r store.Record) store.Change {
		e, c := f.startOf(r)
		started[store.Ref{ID: r.ID, Version: r.Version + 1}] = e
		deliveries = append(deliveries, c.Deliveries...)
		return c
	})
	if err != nil {
		return 0, fmt.Errorf("claim: %w", err)
	}
	attempts := make([]*attempt, 0, len(records))
	for _, r := range records {
		if r.State != store.Working {
			f.o.Logger.Error("a job cannot be read and has failed", "job", r.ID)
			f.changed(r.Head, nil)
			continue
		}
		e := started[r.Ref()]
		e.head, e.version = r.Head, r.Version
		attempts = append(attempts, newAttempt(f, e))
	}
	f.runs.add(attempts)
	for _, a := range attempts {
		f.hub.changed(a.id)
	}
	f.outbox.wake(deliveries)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ahead = append(s.ahead, attempts...)
	s.since = f.now()
	for range min(len(attempts), s.places) {
		s.ready.Signal()
	}
	return len(records), nil
}

// startOf is the change that begins an attempt. A record that cannot be read fails:
// it would block its lane for ever.
func (f *Foreman) startOf(r store.Record) (entry, store.Change) {
	now := f.now()
	e, err := fromRecord(r)
	if err == nil {
		var l life
		if l, err = e.life().start(now); err == nil {
			var c store.Change
			if c, err = e.become(l, now, nil); err == nil {
				return e, c
			}
		}
	}
	return e, f.unreadable(r.Head, err)
}

// unreadable is the change that fails a job of which no more than its head can be read,
// if that. One that has ended has nothing to do any more but to expire.
func (f *Foreman) unreadable(h store.Head, cause error) store.Change {
	e, err := fromHead(h)
	if err != nil {
		e = entry{head: h, Job: Job{
			ID: h.ID, State: State(h.State), Attempt: h.Attempt, Sequence: h.Seq, Spec: Spec{Model: h.Kind},
			StartedAt: h.Started, FinishedAt: h.Finished, ExpiresAt: h.Expires,
		}}
	}
	now, l := f.now(), e.life()
	if !l.state.Terminal() {
		l.err = &Error{Type: Interrupted, Message: clip("the job cannot be read: "+cause.Error(), maxMessage), Attempt: l.attempt}
		l = l.finish(Failed, now, f.terms(&e.Spec))
	}
	c, err := e.become(l.forgetArtifacts(), now, nil)
	if err != nil {
		c = store.Change{Head: h} // as it was: it can be looked at, and deleted by hand
		c.Head.State = store.State(Failed)
	}
	return c
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
		if len(s.ahead) > 0 && s.busy < s.places {
			a := s.ahead[0]
			s.ahead[0] = nil
			s.ahead = s.ahead[1:]
			s.busy++
			if s.want() > 0 {
				d.wake()
			}
			return a
		}
		s.ready.Wait()
	}
}

// over frees the place of an attempt that took so long.
func (d *desk) over(s *slot, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.took(took)
	d.free(s)
}

// free gives up a place. Who gets it is decided with a view to all that waits, so
// that those who ask for the lane that is served cannot keep others out. mu is held.
func (d *desk) free(s *slot) {
	s.busy--
	if len(s.ahead) > 0 && s.busy < s.places {
		s.ready.Signal()
	}
	if s.want() > 0 {
		d.wake()
	}
	if d.draining {
		s.ready.Broadcast()
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

// eta is about when the job at a position of a lane will start. Only while a slot
// serves the lane, and some job of it has ended, can anybody tell.
func (d *desk) eta(lane string, position int) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.slots {
		if s.lane == lane && s.pace > 0 {
			wait := s.pace * time.Duration(position+len(s.ahead)) / time.Duration(s.places)
			return d.f.now().Add(wait)
		}
	}
	return time.Time{}
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
		close(c.refused)
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

// setDown says whether the backend is out of reach; no job is claimed while it is.
func (d *desk) setDown(down bool) {
	d.down.Store(down)
	if !down {
		d.wake()
	}
}
