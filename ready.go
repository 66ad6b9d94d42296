package foreman

import (
	"context"
	"fmt"
	"time"

	"github.com/foreman-go/foreman/store"
)

// ready is what is ready in the store, as the desk has read it.
type ready struct {
	lanes   []store.Lane
	changes uint64    // how many had been made before
	until   time.Time // when jobs become due, or others may have changed something
	// away says that it could not be read: there is nothing that could be claimed, and
	// nobody who needs none of it waits until it can be.
	away bool
}

// wake has the desk look at the store: what is ready there has changed.
func (d *desk) wake() {
	d.changes.Add(1)
	d.alarm.ring()
}

// before is wake for a job that becomes ready at a time.
func (d *desk) before(t time.Time) {
	d.changes.Add(1)
	d.alarm.before(t)
}

// replan has the slots, the callers of Do, and what is ready looked at together, since one
// of them has changed: at once where what is ready is known, so that a caller does not
// wait for the store, nor for the desk. mu is held.
func (d *desk) replan() {
	if !d.known() && !d.ready.away {
		d.alarm.ring()
		return
	}
	wants, due := d.decide()
	if len(wants) > 0 {
		d.alarm.ring()
	}
	d.alarm.before(due)
}

// known reports whether what is ready need not be read again. mu is held.
func (d *desk) known() bool {
	return d.ready.changes == d.changes.Load() && d.f.now().Before(d.ready.until)
}

// read learns what is ready, unless that is known.
func (d *desk) read(ctx context.Context) error {
	d.mu.Lock()
	known := d.known()
	d.mu.Unlock()
	if known {
		return nil
	}
	r := ready{changes: d.changes.Load(), until: d.f.now().Add(d.f.o.Lease / 2)} // others do not wake this process
	up, err := d.f.o.Store.Upcoming(ctx)
	if err != nil {
		return fmt.Errorf("upcoming: %w", err)
	}
	r.until = earlier(up.Run, r.until)
	if r.lanes, err = d.f.o.Store.Lanes(ctx); err != nil {
		return fmt.Errorf("lanes: %w", err)
	}
	if err := d.readPaused(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready = r
	return nil
}

// lose has callers of Do served though the store is away, once what is paused has been
// read: their work needs nothing of it. Jobs have no claim to slots meanwhile.
func (d *desk) lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.paused.read {
		return
	}
	d.ready = ready{away: true}
	d.decide()
}

// forget has what is ready read before anything is decided again.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready = ready{}
}
