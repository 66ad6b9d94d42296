package foreman

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

const (
	reapBatch = 500
	// Deadlines are looked at no more often than this.
	reapPause = 20 * time.Millisecond
)

// reap looks after jobs whose deadline has passed, until ctx ends: those that were
// not started in time, those whose process is not heard of, and those that have ended
// long ago.
func (f *Foreman) reap(ctx context.Context) {
	for ctx.Err() == nil {
		now := f.now()
		next := now.Add(f.o.Lease / 2) // other processes do not wake this one
		handled, more := 0, false
		up, err := f.o.Store.Upcoming(ctx)
		if err == nil {
			next = earlier(up.Deadline, next)
			handled, more, err = f.reapOnce(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.o.Logger.Error("cannot look after overdue jobs; trying again", "error", err)
			next = f.now().Add(time.Second)
		} else if handled == 0 && !next.After(now) {
			// What is overdue is not to be handled, or cannot be read, and hides
			// what will be: look again soon.
			next = f.now().Add(time.Second)
		}
		if !more {
			pause(ctx, reapPause)
			f.reaper.sleep(ctx, f.now(), next)
		}
	}
}

// reapOnce handles one batch. more says that there may be another.
func (f *Foreman) reapOnce(ctx context.Context) (handled int, more bool, err error) {
	heads, err := f.o.Store.Overdue(ctx, reapBatch)
	if err != nil {
		return 0, false, fmt.Errorf("overdue: %w", err)
	}
	var expired []*entry
	retains := sync.OnceValue(func() bool { return f.peers.hold(ctx, "retention", f.o.Lease) })
	var failed error // of one record, which must not keep those behind it waiting
	for _, h := range heads {
		if a := f.runs.get(h.ID); a != nil && h.State == store.Working && h.Worker == f.runs.worker {
			continue // of this very process: the heartbeat is late, and will come
		}
		if State(h.State).Terminal() && !retains() {
			continue // another process sees to it
		}
		handled++
		now := f.now()
		if State(h.State).Terminal() && !h.Expires.IsZero() && !h.Expires.After(now) {
			e, err := f.entry(ctx, h.ID)
			switch {
			case errors.Is(err, ErrNotFound):
				continue
			case err != nil: // it cannot be read, but it can be removed
				e = entry{head: h, Job: Job{ID: h.ID}}
			}
			expired = append(expired, &e)
			continue
		}
		was, is, err := f.update(ctx, h.ID, f.overdue)
		if err == nil && was.State == Working && is.State != Working {
			f.salvaged(ctx, &was, &is)
		}
		if errors.Is(err, store.ErrDamaged) {
			err = f.giveUp(ctx, h, err)
		}
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrState) {
			failed = err
		}
	}
	if err := f.prune(ctx, expired); err != nil {
		failed = err
	}
	return handled, failed == nil && len(heads) == reapBatch && handled > 0, failed
}

// giveUp is what becomes of a job that is overdue and cannot be read: it would be
// overdue for ever.
func (f *Foreman) giveUp(ctx context.Context, h store.Head, cause error) error {
	results, err := f.o.Store.Apply(ctx, []store.Change{f.unreadable(h, cause)})
	if err == nil {
		err = results[0].Err
	}
	switch {
	case errors.Is(err, store.ErrStale):
		return nil // somebody else was quicker
	case err != nil:
		return fmt.Errorf("job %s: %w", h.ID, fromStore(err))
	}
	f.o.Logger.Error("an overdue job cannot be read and is given up", "job", h.ID, "error", cause)
	f.changed(results[0].Head, nil)
	return nil
}

// overdue is the life that follows when the deadline of a job has passed.
func (f *Foreman) overdue(e *entry) (life, error) {
	l, now, t := e.life(), f.now(), f.terms(&e.Spec)
	if l.deadline.IsZero() || l.deadline.After(now) {
		return l, nil // somebody else was quicker
	}
	var err error
	switch l.state {
	case Queued:
		l, err = l.expire(now, t)
	case Working:
		f.salvage(context.Background(), e)
		l, err = l.fault(Error{
			Type: Interrupted, Message: "the process that ran it is not heard of any more", Retryable: true,
		}, now, now, t)
	default:
		f.removeArtifacts(context.Background(), e)
		e.artifactsRemoved = len(e.Artifacts) > 0
		return l.forgetArtifacts(), nil
	}
	if l.state.Terminal() && len(e.Artifacts) == 0 {
		l = l.forgetArtifacts()
	}
	return l, err
}

// prune removes jobs that have expired.
func (f *Foreman) prune(ctx context.Context, expired []*entry) error {
	if len(expired) == 0 {
		return nil
	}
	refs := make([]store.Ref, 0, len(expired))
	for _, e := range expired {
		refs = append(refs, e.head.Ref())
	}
	results, err := f.o.Store.Delete(ctx, refs)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	for i, r := range results {
		if r.Err == nil {
			f.removeArtifacts(ctx, expired[i])
		}
	}
	return nil
}

// sweepPause is how often what crashes have left is looked for where other processes
// than this one may have died.
const sweepPause = time.Hour

// keepSweeping sweeps at the beginning, and now and then if others share the store, until
// ctx ends. One of them does it about once in sweepPause. If it has not come to an end of
// it, the next that comes does it.
func (f *Foreman) keepSweeping(ctx context.Context) {
	const office = "sweep"
	for ctx.Err() == nil {
		if f.peers.hold(ctx, office, sweepPause-time.Minute) && !f.sweep(ctx) {
			f.peers.leave(ctx, office)
		}
		if f.peers.store == nil {
			return
		}
		pause(ctx, sweepPause)
	}
}

// sweep removes artifacts that no job knows: a crash came between their being
// written and their job's end, or between their job's removal and theirs. It reports
// whether it has come to its end.
func (f *Foreman) sweep(ctx context.Context) bool {
	// An empty store may be one that was lost: leave what may be all there is left.
	if p, err := f.o.Store.List(ctx, store.Query{Limit: 1}); err != nil || len(p.Heads) == 0 {
		return false
	}
	known := func(job string, run uint64) (bool, error) {
		id, err := ulid.ParseStrict(job)
		if err != nil {
			return false, nil //nolint:nilerr // what is not named for a job belongs to none
		}
		if a := f.runs.get(id); a != nil {
			// Of what attempts before it have left, what is partial alone.
			return a.task.run == run || a.partialRun() == run, nil
		}
		e, err := f.entry(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return false, nil
		case errors.Is(err, store.ErrDamaged):
			return true, nil // perhaps all that is left of it
		case err != nil:
			return false, err
		}
		if e.State == Working && e.head.Deadline.After(f.now()) {
			return true, nil // perhaps another process's
		}
		if e.State == Working && run == e.version+1 {
			return true, nil // about to be its partial output
		}
		for i := range e.Artifacts {
			if e.Artifacts[i].run == run && !e.artifactsRemoved {
				return true, nil
			}
		}
		return false, nil
	}
	n := 0
	err := f.own(ctx) // or none of it would be known
	if err == nil {
		n, err = f.o.Artifacts.Sweep(ctx, known)
	}
	if err == nil {
		var spools int
		spools, err = f.sweepSpools(ctx)
		n += spools
	}
	if err != nil && ctx.Err() == nil {
		f.o.Logger.Error("artifacts without a job cannot be swept", "error", err)
	}
	if n > 0 {
		f.o.Logger.Info("removed artifacts that no job knows", "artifacts", n)
	}
	return err == nil
}

// heartbeat renews the leases of this process until ctx ends.
func (f *Foreman) heartbeat(ctx context.Context) {
	for ctx.Err() == nil {
		// Also how a cancel through another process is heard of: in less than a second.
		f.beat.sleep(ctx, f.now(), f.now().Add(min(f.o.Lease/3, 900*time.Millisecond)))
		if ctx.Err() != nil {
			return
		}
		const batch = 1000
		for all := f.runs.all(); len(all) > 0; {
			some := all[:min(batch, len(all))]
			all = all[len(some):]
			if err := f.renew(ctx, some); err != nil && ctx.Err() == nil {
				f.o.Logger.Error("leases cannot be renewed; trying again", "jobs", len(some), "error", err)
			}
		}
	}
}

func (f *Foreman) renew(ctx context.Context, as []*attempt) error {
	refs := make([]store.Ref, len(as))
	for i, a := range as {
		refs[i] = a.ref()
	}
	results, err := f.o.Store.Extend(ctx, refs, f.o.Lease)
	if err != nil {
		return err
	}
	for i, r := range results {
		switch {
		case errors.Is(r.Err, store.ErrNotFound):
			as[i].stop(errLeaseLost)
		case errors.Is(r.Err, store.ErrStale) && r.Head.Version > refs[i].Version:
			as[i].moved(r.Head)
		}
	}
	return nil
}
