package foreman

import (
	"time"
)

// life is the part of a job that changes, apart from its outcome. Its methods
// are the state machine: each is one thing that can happen, a pure function to
// the life that follows, or ErrState when it cannot happen now.
type life struct {
	state           State
	attempt         int
	runAt           time.Time
	startedAt       time.Time
	finishedAt      time.Time
	expiresAt       time.Time
	artifactsExpire time.Time
	cancelRequested time.Time
	err             *Error
	// deadline is when somebody must look after the job: a queued one that has
	// not started, a finished one whose artifacts or record expire. The lease
	// of a working one is the store's.
	deadline time.Time
}

// terms are the parts of a spec that the state machine goes by.
type terms struct {
	maxAttempts  int
	queueTimeout time.Duration
	jobTTL       time.Duration // not positive: for ever
	artifactTTL  time.Duration // not positive: as long as the job
}

// submitted is the life of a new job.
func submitted(runAt, now time.Time, t terms) life {
	return life{}.queue(runAt, now, t)
}

// start begins an attempt.
func (l life) start(now time.Time) (life, error) {
	if l.state != Queued {
		return l, ErrState
	}
	l.state = Working
	l.attempt++
	l.startedAt = now
	l.runAt = time.Time{}
	l.deadline = time.Time{}
	return l, nil
}

// succeed ends the job well. A result that was on its way when a cancel was
// asked for still counts.
func (l life) succeed(now time.Time, t terms) (life, error) {
	if l.state != Working {
		return l, ErrState
	}
	l.err = nil
	return l.finish(Done, now, t), nil
}

// fault ends an attempt with an error. The job is queued again, to run at again,
// if the error allows it and an attempt is left.
func (l life) fault(e Error, again, now time.Time, t terms) (life, error) {
	if l.state != Working {
		return l, ErrState
	}
	if !l.cancelRequested.IsZero() {
		return l.canceled(now, t), nil
	}
	e.Attempt = l.attempt
	l.err = &e
	if e.Retryable && l.attempt < t.maxAttempts {
		return l.queue(again, now, t), nil
	}
	return l.finish(Failed, now, t), nil
}

// release puts a job back whose attempt does not count: it was claimed and never
// run, or given up for a reason of ours. e, if not nil, says why it waits.
func (l life) release(e *Error, again, now time.Time, t terms) (life, error) {
	if l.state != Working {
		return l, ErrState
	}
	if !l.cancelRequested.IsZero() {
		return l.canceled(now, t), nil
	}
	if e != nil {
		e.Attempt = l.attempt
		l.err = e
	}
	l.attempt--
	return l.queue(again, now, t), nil
}

// requestCancel ends a queued job, and asks a working one to stop. It changes
// nothing in a job that was asked before or is terminal.
func (l life) requestCancel(now time.Time, t terms) life {
	switch {
	case l.state == Queued:
		return l.canceled(now, t)
	case l.state == Working && l.cancelRequested.IsZero():
		l.cancelRequested = now
	}
	return l
}

// stop ends a working job that was asked to stop.
func (l life) stop(now time.Time, t terms) (life, error) {
	if l.state != Working || l.cancelRequested.IsZero() {
		return l, ErrState
	}
	return l.canceled(now, t), nil
}

// expire fails a queued job that has not started in time.
func (l life) expire(now time.Time, t terms) (life, error) {
	if l.state != Queued || l.deadline.IsZero() || l.deadline.After(now) {
		return l, ErrState
	}
	l.err = &Error{
		Type:    QueueTimeout,
		Message: "not started within its queue_timeout of " + t.queueTimeout.String(),
		Attempt: l.attempt,
	}
	return l.finish(Failed, now, t), nil
}

// retry begins a new round of attempts for a job that did not end well.
func (l life) retry(now time.Time, t terms) (life, error) {
	if l.state != Failed && l.state != Canceled {
		return l, ErrState
	}
	return submitted(now, now, t), nil
}

func (l life) queue(runAt, now time.Time, t terms) life {
	l.state = Queued
	l.startedAt = time.Time{}
	l.runAt = time.Time{}
	ready := now
	if runAt.After(now) {
		l.runAt, ready = runAt, runAt
	}
	l.deadline = time.Time{}
	if t.queueTimeout > 0 {
		l.deadline = ready.Add(t.queueTimeout)
	}
	return l
}

func (l life) canceled(now time.Time, t terms) life {
	if l.cancelRequested.IsZero() {
		l.cancelRequested = now
	}
	l.err = &Error{Type: CanceledError, Message: "canceled by request", Attempt: l.attempt}
	return l.finish(Canceled, now, t)
}

func (l life) finish(s State, now time.Time, t terms) life {
	l.state = s
	l.finishedAt = now
	l.runAt = time.Time{}
	l.expiresAt, l.artifactsExpire = time.Time{}, time.Time{}
	if t.jobTTL > 0 {
		l.expiresAt = now.Add(t.jobTTL)
	}
	if t.artifactTTL > 0 {
		l.artifactsExpire = now.Add(t.artifactTTL)
	}
	l.deadline = earlier(l.expiresAt, l.artifactsExpire)
	return l
}

// forgetArtifacts is what follows once the data of the artifacts is gone, or when
// there is none.
func (l life) forgetArtifacts() life {
	l.artifactsExpire = time.Time{}
	l.deadline = l.expiresAt
	return l
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earlier is the earlier of two times, where zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
