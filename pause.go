package foreman

import (
	"context"
	"fmt"
	"slices"

	"github.com/foreman-go/foreman/store"
)

// Pause keeps jobs and callers of [Foreman.Do] from beginning: those of the lanes named,
// or all if none is. Whatever runs goes on, and jobs are accepted as ever. When Pause
// returns it is durable, and holds for every process that shares the store, until
// [Foreman.Resume]; another process lets callers of Do in for up to half of
// [Options.Lease] more, or until it can reach the store again.
//
// The lane of a model is its name, unless its backend is a [Laner]; [Foreman.Queue]
// lists those that wait. Errors: [ErrFull] beyond 1,000 lanes, [ErrUnavailable] and the
// context's.
func (f *Foreman) Pause(ctx context.Context, lanes ...string) error {
	if err := f.o.Store.Pause(ctx, store.Pause{All: len(lanes) == 0, Lanes: lanes}); err != nil {
		return fmt.Errorf("pause: %w", fromStore(err))
	}
	f.peers.paused()
	return f.desk.readPaused(ctx)
}

// Resume ends what [Foreman.Pause] began, of just what is named: without lanes, what was
// paused without lanes. What is not paused may be named too. Errors: [ErrUnavailable] and
// the context's.
func (f *Foreman) Resume(ctx context.Context, lanes ...string) error {
	if err := f.o.Store.Resume(ctx, store.Pause{All: len(lanes) == 0, Lanes: lanes}); err != nil {
		return fmt.Errorf("resume: %w", fromStore(err))
	}
	f.peers.paused()
	return f.desk.readPaused(ctx)
}

// paused is what may not begin.
type paused struct {
	all   bool
	lanes []string
	read  bool // once
}

func (p *paused) has(lane string) bool { return p.all || slices.Contains(p.lanes, lane) }

// readPaused learns from the store what is paused.
func (d *desk) readPaused(ctx context.Context) error {
	d.pausing.Lock() // so that an older answer does not come after a newer one
	defer d.pausing.Unlock()
	p, err := d.f.o.Store.Paused(ctx)
	if err != nil {
		return fmt.Errorf("what is paused: %w", fromStore(err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if changed := p.All != d.paused.all || !slices.Equal(p.Lanes, d.paused.lanes); changed || !d.paused.read {
		d.paused = paused{all: p.All, lanes: p.Lanes, read: true}
		d.replan()
	}
	return nil
}
