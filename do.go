package foreman

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Turn is a place in a slot that a caller of [Foreman.Do] has been given.
type Turn struct {
	// Backend is that of the pool of the slot.
	Backend Backend
	// Position is the place that the caller had among those that wait for the same lane
	// when it came, from 1.
	Position int
	// Waited is how long the caller has waited.
	Waited time.Duration
}

// WaitError is why a caller of [Foreman.Do] has not been given a turn, though the queue
// is at work: too many wait already, or it did not want to wait any longer. It is
// [ErrBusy].
type WaitError struct {
	// Position is the place that the caller has, or would have had, among those that wait
	// for the same lane, from 1.
	Position int
	// Waited is how long the caller has waited; 0 if it was not let in.
	Waited time.Duration
	// Retry is about when its turn would come, from now; at least a second.
	Retry time.Duration
}

// Error says where the caller stood.
func (e *WaitError) Error() string {
	if e.Waited == 0 {
		return fmt.Sprintf("%v: too many callers wait already; this would be at place %d of its model: try again in %s", ErrBusy, e.Position, e.Retry)
	}
	return fmt.Sprintf("%v: at place %d of the queue after %s: try again in %s", ErrBusy, e.Position, e.Waited.Round(time.Millisecond), e.Retry)
}

// Unwrap returns [ErrBusy].
func (e *WaitError) Unwrap() error { return ErrBusy }

// call is a caller of Do that waits for a place.
type call struct {
	lane, model string
	owner       string
	priority    int
	turn        uint64 // among the calls of its lane and priority
	position    int
	since       time.Time
	granted     chan *slot // has room for one
	refused     chan error // has room for one: why it will not be given a turn
	running     running
}

// Do runs a function in a place of the slots that jobs run in, when the turn of
// its model has come, on the goroutine of the caller: for callers that wait for the
// result themselves. Nothing of it is stored. Of the spec, Model, Input, Priority, Owner
// and QueueTimeout count; callers go before jobs of the same priority, and those of
// different owners take turns. While the store cannot be reached they are let in all the
// same, unless their lane was paused when it was last read.
//
// The context of run ends with ctx, and when [Foreman.Run] has to end. Do returns
// what run returns, or without having called it: a [*WaitError] when
// [Options.MaxWaiting] callers wait already or QueueTimeout has passed, or when one of
// another owner has come who has fewer waiting; [ErrInvalid] for
// a model that no pool serves, [ErrUnavailable] when Run ends first, and the context's
// error. A panic of run passes through.
func (f *Foreman) Do(ctx context.Context, s Spec, run func(ctx context.Context, t Turn) error) error {
	lane, err := f.lane(&s)
	if err != nil {
		return fmt.Errorf("do: %w", err)
	}
	c := &call{lane: lane, model: s.Model, owner: s.Owner, priority: s.Priority}
	slot, err := f.desk.enter(ctx, c, s.QueueTimeout)
	if err != nil {
		return err
	}
	begun := f.now()
	defer func() { f.desk.leave(slot, c, f.now().Sub(begun)) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer f.runs.onHardStop(cancel)()
	return run(ctx, Turn{Backend: slot.pool.Backend, Position: c.position, Waited: begun.Sub(c.since)})
}

func (d *desk) enter(ctx context.Context, c *call, atMost time.Duration) (*slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.since = d.f.now()
	c.granted, c.refused = make(chan *slot, 1), make(chan error, 1)
	if err := d.queue(c); err != nil {
		return nil, err
	}
	waited, stop := after(atMost)
	defer stop()
	select {
	case s := <-c.granted:
		return s, nil
	case err := <-c.refused:
		return nil, err
	case <-waited:
		if s, position := d.withdraw(c, true); s == nil {
			return nil, d.busy(c, position)
		} else {
			return s, nil
		}
	case <-ctx.Done():
		d.withdraw(c, false)
		return nil, ctx.Err()
	}
}

// after gives a channel that tells when d has passed, or never if d is 0.
func after(d time.Duration) (passed <-chan time.Time, stop func()) {
	if d <= 0 {
		return nil, func() {}
	}
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// queue lets a caller in among those that wait.
func (d *desk) queue(c *call) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return errShuttingDown
	}
	d.takeTurn(c)
	c.position = d.place(c)
	if len(d.calls) >= d.f.o.MaxWaiting && !d.makeRoom(c.owner) {
		return &WaitError{Position: c.position, Retry: d.retryIn(c.lane, c.position)}
	}
	d.calls = append(d.calls, c)
	d.replan()
	return nil
}

// errShuttingDown is for callers when nothing begins any more.
var errShuttingDown = fmt.Errorf("%w: shutting down", ErrUnavailable)

// makeRoom turns away a caller of the owner who has the most that wait, the last to
// come of those with the lowest priority, if another owner would have fewer even so:
// nobody can keep the others out. mu is held.
func (d *desk) makeRoom(owner string) bool {
	n := map[string]int{}
	most := owner
	for _, c := range d.calls {
		n[c.owner]++
		if n[c.owner] > n[most] {
			most = c.owner
		}
	}
	if n[most] <= n[owner]+1 {
		return false
	}
	last := -1
	for i, c := range d.calls {
		if c.owner == most && (last < 0 || c.priority <= d.calls[last].priority) {
			last = i
		}
	}
	c := d.calls[last]
	position := d.place(c)
	c.refused <- &WaitError{Position: position, Waited: d.f.now().Sub(c.since), Retry: d.retryIn(c.lane, position)}
	d.calls = slices.Delete(d.calls, last, last+1)
	return true
}

// takeTurn gives a caller its turn among those of its lane and priority: behind the
// callers of the same owner, and level with the first of the others, so that nobody
// waits behind all that one owner asks for.
func (d *desk) takeTurn(c *call) {
	first := true
	var least, next uint64
	for _, o := range d.calls {
		if o.lane != c.lane || o.priority != c.priority {
			continue
		}
		if first || o.turn < least {
			least, first = o.turn, false
		}
		if o.owner == c.owner {
			next = max(next, o.turn+1)
		}
	}
	c.turn = max(least, next)
}

// before orders the callers of one lane.
func (c *call) before(o *call) bool {
	if c.priority != o.priority {
		return c.priority > o.priority
	}
	return c.turn < o.turn
}

// place is that of a caller among those that wait for the same lane. mu is held.
func (d *desk) place(c *call) int {
	n := 1
	for _, o := range d.calls {
		if o == c {
			continue
		}
		if o.lane == c.lane && !c.before(o) {
			n++
		}
	}
	return n
}

// busy tells a caller that its turn has not come in time.
func (d *desk) busy(c *call, position int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &WaitError{Position: position, Waited: d.f.now().Sub(c.since), Retry: d.retryIn(c.lane, position)}
}

// retryIn is when to try again, if the turn of a caller would come then: at least in a
// second, and in a minute at most. mu is held.
func (d *desk) retryIn(lane string, position int) time.Duration {
	const standard, most = 5 * time.Second, time.Minute
	e, ok := d.estimate(lane, position, true)
	if !ok {
		return standard
	}
	return min(max(e.wait, time.Second), most).Round(time.Second)
}

// withdraw takes back a call. A place that it was granted meanwhile is kept if it is
// still wanted, and freed if not; without one, it tells the place that the call had.
func (d *desk) withdraw(c *call, wanted bool) (s *slot, position int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	position = d.place(c)
	d.calls = slices.DeleteFunc(d.calls, func(o *call) bool { return o == c })
	select {
	case s := <-c.granted:
		if wanted {
			return s, position
		}
		d.free(s, &c.running)
	default:
		d.replan() // a model may be loading for nobody else
	}
	return nil, position
}

// admit lets callers into the free places of a slot, unless a job of a higher
// priority has been claimed for it, or jobs have been kept out for too long. mu is held.
func (d *desk) admit(s *slot) {
	for s.busy < s.places && !s.owed && s.loading == nil && !d.paused.has(s.lane) {
		best := -1
		for i, c := range d.calls {
			if c.lane == s.lane && (best < 0 || c.before(d.calls[best])) {
				best = i
			}
		}
		if best < 0 || len(s.ahead) > 0 && s.ahead[0].priority > d.calls[best].priority {
			return
		}
		c := d.calls[best]
		c.running = running{model: c.model, owner: c.owner, since: d.f.now()}
		s.begin(&c.running)
		c.granted <- s
		d.calls = slices.Delete(d.calls, best, best+1)
	}
}

// leave gives back the place of a call that took so long.
func (d *desk) leave(s *slot, c *call, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paces.ran(c.lane, took)
	d.free(s, &c.running)
}
