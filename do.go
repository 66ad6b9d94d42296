package foreman

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// call is a caller of Do that waits for a place.
type call struct {
	lane     string
	priority int
	since    time.Time
	granted  chan *slot    // has room for one
	refused  chan struct{} // closed when Run ends first
}

// Do runs a function in a place of the slots that jobs run in, when the turn of
// its model has come, on the goroutine of the caller: for callers that wait for the
// result themselves. Nothing of it is stored. Of the spec, Model, Input and Priority
// count; callers go before jobs of the same priority.
//
// The context of run ends with ctx, and when [Foreman.Run] has to end. Do returns
// what run returns, or without having called it: [ErrBusy] when
// [Options.MaxWaiting] callers wait already, [ErrUnavailable] when Run ends first,
// and the context's error. A panic of run passes through.
func (f *Foreman) Do(ctx context.Context, s Spec, run func(ctx context.Context) error) error {
	slot, err := f.desk.enter(ctx, f.lane(&s), s.Priority)
	if err != nil {
		return err
	}
	defer f.desk.leave(slot)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer f.runs.onHardStop(cancel)()
	return run(ctx)
}

func (d *desk) enter(ctx context.Context, lane string, priority int) (*slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &call{
		lane: lane, priority: priority, since: d.f.now(),
		granted: make(chan *slot, 1), refused: make(chan struct{}),
	}
	d.mu.Lock()
	switch {
	case d.draining:
		d.mu.Unlock()
		return nil, fmt.Errorf("%w: shutting down", ErrUnavailable)
	case len(d.calls) >= d.f.o.MaxWaiting:
		d.mu.Unlock()
		return nil, fmt.Errorf("%w: %d callers wait already: try again later", ErrBusy, d.f.o.MaxWaiting)
	}
	d.calls = append(d.calls, c)
	d.mu.Unlock()
	d.wake()
	select {
	case s := <-c.granted:
		return s, nil
	case <-c.refused:
		return nil, fmt.Errorf("%w: shutting down", ErrUnavailable)
	case <-ctx.Done():
		return nil, d.withdraw(c, ctx.Err())
	}
}

// withdraw takes back a call, and the place if it was granted meanwhile.
func (d *desk) withdraw(c *call, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = slices.DeleteFunc(d.calls, func(o *call) bool { return o == c })
	select {
	case s := <-c.granted:
		d.free(s)
	default:
	}
	return err
}

// admit lets callers into the free places of a slot, unless a job of a higher
// priority has been claimed for it. mu is held.
func (d *desk) admit(s *slot) {
	for s.busy < s.places {
		best := -1
		for i, c := range d.calls {
			if c.lane == s.lane && (best < 0 || c.priority > d.calls[best].priority) {
				best = i
			}
		}
		if best < 0 || len(s.ahead) > 0 && s.ahead[0].priority > d.calls[best].priority {
			return
		}
		s.busy++
		d.calls[best].granted <- s
		d.calls = slices.Delete(d.calls, best, best+1)
	}
}

func (d *desk) leave(s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free(s)
}
