package foreman

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
)

// The pauses between looks at a backend that is out of reach.
const (
	firstCheck = 100 * time.Millisecond
	lastCheck  = 5 * time.Second
	storeCheck = 3 * time.Second // after which it is taken to be away, by who asks whether it is ready and for callers of Do
	// A backend that was in reach for so long begins anew with the first pause.
	steady = 30 * time.Second
)

// watchBackend keeps jobs from being claimed while a backend is out of reach, until ctx
// ends. It is taken to be until its first check has passed.
func (f *Foreman) watchBackend(ctx context.Context, p *pool, c Checker) {
	var doubts <-chan struct{}
	if d, ok := c.(Doubter); ok {
		doubts = d.Doubts()
	}
	for delay := firstCheck; ctx.Err() == nil; {
		said := false
		for err := check(ctx, c); err != nil && ctx.Err() == nil; err = check(ctx, c) {
			if !said {
				f.o.Logger.Warn("the backend is out of reach; jobs wait", "pool", p.Name, "error", err)
				said = true
			}
			pause(ctx, jitter(delay))
			delay = min(2*delay, lastCheck)
		}
		select {
		case <-doubts: // which this has settled
		default:
		}
		p.down.Store(false)
		f.desk.wake()
		up := f.now()
		select {
		case <-p.lost:
			p.down.Store(true)
		case <-doubts:
			p.down.Store(true)
		case <-ctx.Done():
			return
		}
		// A backend that passes its check and then cannot be reached all the same is
		// left alone for longer and longer too.
		if f.now().Sub(up) > steady {
			delay = firstCheck
		}
		pause(ctx, jitter(delay))
		delay = min(2*delay, lastCheck)
	}
}

func check(ctx context.Context, c Checker) error {
	ctx, cancel := context.WithTimeout(ctx, lastCheck)
	defer cancel()
	return c.Check(ctx)
}

// backendDown says that an attempt or a load could not reach the backend of a pool.
func (f *Foreman) backendDown(p *pool, err error) {
	if _, ok := p.Backend.(Checker); !ok {
		return
	}
	p.down.Store(true)
	select {
	case p.lost <- struct{}{}:
	default:
	}
	f.o.Logger.Warn("the backend is looked after before anything else is begun", "pool", p.Name, "error", err)
}

// unavailableDelay is how long a job waits whose backend could not be reached. With
// a Checker the whole pool waits until the backend is back.
func (f *Foreman) unavailableDelay(p *pool) time.Duration {
	if _, ok := p.Backend.(Checker); ok {
		return 0
	}
	return jitter(min(lastCheck, f.o.MaxRetryDelay))
}

// Ready returns nil when the store and the backend can be used, or an error that says
// which cannot: [ErrUnavailable] or [ErrBackendDown]. Of [Pools] that are a [Checker] one
// has to be in reach; GET /readyz tells of the others. One that is no Checker says nothing
// about the rest. Jobs are accepted all the same, and wait.
func (f *Foreman) Ready(ctx context.Context) error {
	_, err := f.readiness(ctx)
	return err
}

// readiness also names the pools that are out of reach though others are not.
func (f *Foreman) readiness(ctx context.Context) (down []string, err error) {
	looking, cancel := context.WithTimeout(ctx, storeCheck)
	_, err = f.o.Store.List(looking, store.Query{Limit: 1})
	cancel()
	switch {
	case err != nil && ctx.Err() == nil && looking.Err() != nil:
		return nil, fmt.Errorf("ready: %w: the store has not answered within %s", ErrUnavailable, storeCheck)
	case err != nil:
		return nil, fmt.Errorf("ready: store: %w", fromStore(err))
	}
	found := make([]error, len(f.pools))
	var checks sync.WaitGroup // side by side: each may take as long as it is given
	checked := 0
	for i, p := range f.pools {
		if c, ok := p.Backend.(Checker); ok {
			checked++
			checks.Go(func() { found[i] = check(ctx, c) })
		}
	}
	checks.Wait()
	for i, err := range found {
		if err != nil {
			down = append(down, f.pools[i].Name)
		}
	}
	if checked > 0 && len(down) == checked {
		return nil, fmt.Errorf("ready: %w: %w", ErrBackendDown, errors.Join(found...))
	}
	return down, nil
}
