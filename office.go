package foreman

import (
	"context"
	"fmt"
	"time"
)

// atWork is the office that one of the processes in which Run is under way has, so that
// anybody can see whether there are any.
const atWork = "at work"

// work keeps that office, if nobody else has it, until ctx ends.
func (p *peers) work(ctx context.Context) {
	if p.store == nil {
		return
	}
	for ctx.Err() == nil {
		p.hold(ctx, atWork, p.f.o.Lease)
		pause(ctx, p.f.o.Lease/3)
	}
	p.leave(ctx, atWork)
}

// leave gives up an office that this process has, also when ctx has ended.
func (p *peers) leave(ctx context.Context, office string) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), newsRetry)
	defer cancel()
	p.hold(last, office, 0)
}

// idle makes sure that Run is under way in no other process that shares the store. Errors:
// [ErrRunning], and those of [fromStore].
func (p *peers) idle(ctx context.Context) error {
	if p.store == nil {
		return nil
	}
	free, err := p.store.Hold(ctx, atWork, p.f.runs.worker, 0) // and so gives it back
	switch {
	case err != nil:
		return fromStore(err)
	case !free:
		return fmt.Errorf("%w in another process that shares the store: stop them all, and try again in %s", ErrRunning, p.f.o.Lease)
	}
	return nil
}

// hold reports whether an office is this process's for the length of a lease. It is, if
// nobody shares the store.
func (p *peers) hold(ctx context.Context, office string, lease time.Duration) bool {
	if p.store == nil {
		return true
	}
	ok, err := p.store.Hold(ctx, office, p.f.runs.worker, lease)
	if err != nil && ctx.Err() == nil {
		p.f.o.Logger.Warn("which process does something for all cannot be found out", "what", office, "error", err)
	}
	return ok && err == nil
}
