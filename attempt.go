package foreman

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// attempt is one claimed job: claimed ahead, running, or on its way to be settled.
type attempt struct {
	f        *Foreman
	id       ulid.ULID
	number   int
	priority int
	pool     *pool
	task     *Task
	running  running // once it is

	mu     sync.Mutex
	entry  entry // as it is in the store, as far as is known
	cancel context.CancelCauseFunc
	cause  error // why it must stop, once it must

	// Set when it is over.
	err      error
	failure  *Failure // what the backend has made of err, if it had ended with one
	panicked bool
	stopped  error // the cause, if the context had ended

	// Set when the artifacts have been read that the webhook about its end tells of.
	told []webhook.ArtifactMeta
	read bool
}

func newAttempt(f *Foreman, e entry, p *pool) *attempt {
	a := &attempt{f: f, id: e.ID, number: e.Attempt, priority: e.Spec.Priority, pool: p, entry: e}
	a.task = &Task{ID: e.ID, Attempt: e.Attempt, Spec: e.Spec, f: f, run: e.version}
	a.task.live = &live{sequence: e.Sequence, attempt: e.Attempt}
	a.task.spool.init(f, &e)
	return a
}

// stop ends the attempt's context, now or as soon as it has one. The first cause
// counts.
func (a *attempt) stop(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cause != nil {
		return
	}
	a.cause = cause
	if a.cancel != nil {
		a.cancel(cause)
	}
}

func (a *attempt) runTimeout() time.Duration {
	return or(a.task.Spec.RunTimeout, a.f.o.RunTimeout)
}

// execute runs the backend and keeps what came of it.
func (a *attempt) execute(keep context.Context) {
	defer a.keepPartial(keep)
	ctx, cancelTimeout := deadlineOf(keep, a.runTimeout())
	defer cancelTimeout()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.mu.Lock()
	a.cancel = cancel
	if a.cause != nil {
		cancel(a.cause)
	}
	a.mu.Unlock()
	if ctx.Err() == nil {
		a.call(ctx)
	} else {
		a.err = context.Cause(ctx)
	}
	if a.err != nil && ctx.Err() != nil {
		a.stopped = context.Cause(ctx)
		if errors.Is(a.stopped, errRunTimeoutPassed) {
			a.f.backendDown(a.pool, errRunTimeoutPassed) // it may be stuck
		}
		return
	}
	if a.failure != nil && a.failure.Type == BackendUnavailable {
		a.f.backendDown(a.pool, a.err)
	}
}

// call runs the backend in a goroutine of its own, so that whatever it does ends this
// attempt alone: a panic, in the text of its error too, or the end of its goroutine.
func (a *attempt) call(ctx context.Context) {
	a.task.ctx = ctx
	returned := false
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer func() {
			if p := recover(); p != nil {
				a.err, a.panicked = fmt.Errorf("the backend panicked: %v", p), true
				a.f.o.Logger.Error("backend panicked", "job", a.id, "attempt", a.number, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			} else if !returned {
				a.err, a.panicked = errors.New("the backend ended its goroutine"), true
			}
		}()
		if err := a.pool.Backend.Run(ctx, a.task); err != nil {
			a.failure = failureOf(err)
			if !a.pool.has(a.task.Spec.Model) { // any more: it may be with another process by now
				a.failure.Type, a.failure.Final = BackendUnavailable, false
			}
			a.err = a.failure
		}
		returned = true
	}()
	<-over
	a.task.live.finish()
}

// conclude is the life that follows from what came of the attempt.
func (a *attempt) conclude(e *entry, now time.Time) (life, error) {
	l, t := e.life(), a.f.terms(&e.Spec)
	switch {
	case a.err == nil:
		return l.succeed(now, t)
	case a.panicked:
		return l.fault(Error{Type: Panicked, Message: clip(a.err.Error(), maxMessage)}, now, now, t)
	case errors.Is(a.stopped, errGivenBack):
		return l.release(nil, now, now, t)
	case errors.Is(a.stopped, errCancelRequested):
		return l.stop(now, t)
	}
	fault := a.failure
	if errors.Is(a.stopped, errRunTimeoutPassed) || fault == nil {
		fault = &Failure{Type: RunTimeout, Err: fmt.Errorf("took longer than its run_timeout of %s", a.runTimeout())}
	}
	je := fault.jobError()
	if fault.Type == BackendUnavailable {
		return l.release(&je, now.Add(max(fault.After, a.f.unavailableDelay(a.pool))), now, t)
	}
	return l.fault(je, now.Add(max(fault.After, a.f.retryDelay(a.number))), now, t)
}

// runs are the attempts of this process, from their claim until they are settled.
type runs struct {
	worker    string // names this Foreman in claims
	unsettled sync.WaitGroup

	mu   sync.Mutex
	byID map[ulid.ULID]*attempt
	hard map[*context.CancelCauseFunc]struct{} // of calls of Do under way

	stopped bool // they must end, and so must whichever comes
}

func (r *runs) init() {
	r.worker = ulid.Make().String()
	r.byID = map[ulid.ULID]*attempt{}
	r.hard = map[*context.CancelCauseFunc]struct{}{}
}

// reopen undoes hardStop, for the next Run.
func (r *runs) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = false
}

func (r *runs) add(as []*attempt) {
	r.unsettled.Add(len(as))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range as {
		r.byID[a.id] = a
	}
}

func (r *runs) get(id ulid.ULID) *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// remove forgets an attempt, once. Another one of the same job may have come since.
func (r *runs) remove(a *attempt) {
	defer r.unsettled.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[a.id] == a {
		delete(r.byID, a.id)
	}
}

func (r *runs) all() []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*attempt, 0, len(r.byID))
	for _, a := range r.byID {
		out = append(out, a)
	}
	return out
}

// ref names the version that this attempt may change.
func (a *attempt) ref() store.Ref {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entry.head.Ref()
}

// moved tells the attempt what its record has become meanwhile. If it is still the
// attempt's, somebody has asked for it to stop; if not, the lease was lost. It
// reports whether the record is still the attempt's.
func (a *attempt) moved(h store.Head) bool {
	a.mu.Lock()
	if h.Version < a.entry.head.Version {
		a.mu.Unlock()
		return true // no news: the attempt has been told of what came later
	}
	e, err := fromHead(h)
	mine := err == nil && e.State == Working && h.Worker == a.f.runs.worker && h.Attempt == a.number
	if mine {
		e.Spec = a.entry.Spec
		a.entry = e
	}
	a.mu.Unlock()
	switch {
	case !mine:
		a.stop(errLeaseLost)
	case !e.CancelRequestedAt.IsZero():
		a.stop(errCancelRequested)
	}
	return mine
}

// onHardStop ends a call of Do when Run must end, until the returned function is
// called.
func (r *runs) onHardStop(cancel context.CancelCauseFunc) func() {
	r.mu.Lock()
	r.hard[&cancel] = struct{}{}
	if r.stopped {
		cancel(errGivenBack)
	}
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		delete(r.hard, &cancel)
		r.mu.Unlock()
	}
}

// hardStop ends the context of everything that still runs.
func (r *runs) hardStop() {
	for _, a := range r.all() {
		a.stop(errGivenBack)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	for cancel := range r.hard {
		(*cancel)(errGivenBack)
	}
}
