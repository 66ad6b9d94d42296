package foreman

import (
	"context"
	"sync/atomic"
	"time"
)

// alarm is how a loop sleeps until there is something to do: until a time, or
// until somebody rings. A ring while nobody sleeps ends the next sleep at once.
type alarm struct {
	rung  chan struct{} // holds at most one token
	until atomic.Int64  // when the sleeper will wake, in microseconds; 0 while awake
}

func (a *alarm) init() { a.rung = make(chan struct{}, 1) }

func (a *alarm) ring() {
	select {
	case a.rung <- struct{}{}:
	default:
	}
}

// before rings if the sleeper would sleep past t. Zero is never.
func (a *alarm) before(t time.Time) {
	if until := a.until.Load(); !t.IsZero() && (until == 0 || t.UnixMicro() < until) {
		a.ring()
	}
}

// sleep returns when until has come, somebody rings, or ctx ends.
func (a *alarm) sleep(ctx context.Context, now, until time.Time) {
	a.until.Store(until.UnixMicro())
	defer a.until.Store(0)
	t := time.NewTimer(until.Sub(now))
	defer t.Stop()
	select {
	case <-a.rung:
	case <-t.C:
	case <-ctx.Done():
	}
}

// pause is a sleep that nobody can end but ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
