package foreman

import (
	"context"
	"errors"
	"time"
)

// Backend runs jobs. Run is called from several goroutines at once, one for each
// running job, and returns when the attempt is over. It must return soon after
// ctx ends: context.Cause(ctx) then says why. What it has reported and written
// through the task is kept only if the job is still the task's when Run returns. Of an
// attempt that is to be followed by another, its output alone is kept: see [Task.Write].
//
// A nil error means that the job is done. Any other is taken for a passing fault,
// after which the job is tried again, unless it says otherwise: see [Permanent],
// [RetryAfter], [Unavailable] and [Failure]. A panic fails the job and nothing
// else.
//
// A backend may also be a [Laner], a [Loader], a [Checker] or a [Doubter], and [Pools] are several.
type Backend interface {
	Run(ctx context.Context, t *Task) error
}

// BackendFunc makes a function a [Backend].
type BackendFunc func(ctx context.Context, t *Task) error

// Run calls the function.
func (b BackendFunc) Run(ctx context.Context, t *Task) error { return b(ctx, t) }

// Laner is implemented by a [Backend] that knows which jobs can share a loaded
// model. Lane returns a name of at most 1,024 bytes, and must depend on the model
// and the input alone. The lane of a backend that is no Laner is the model.
type Laner interface {
	Lane(s *Spec) string
}

// Checker is implemented by a [Backend] that can be out of reach. After an attempt
// ended with [Unavailable], or took longer than it might, no job is started until Check
// returns nil; it is called again and again with growing pauses, up to five seconds, and
// each time given as long to answer. It also serves GET /readyz.
type Checker interface {
	Check(ctx context.Context) error
}

// Doubter is a [Checker] that can find reasons of its own to be checked.
type Doubter interface {
	Checker
	// Doubts has a token when it is to be checked, as after an attempt that took longer
	// than it might: no job is started until Check returns nil. It always returns the
	// same channel, from which nobody else must receive.
	Doubts() <-chan struct{}
}

// Failure is an error of a [Backend] that says what is to be made of it. The zero
// value of every field but Err and Type is useful.
type Failure struct {
	Type ErrorType // becomes the type of the job's error
	Err  error     // its text becomes the message
	// Final says that no other attempt can end better.
	Final bool
	// After is the least time until the next attempt. If After is 0, the usual
	// delay between attempts is used; if it is longer than a day, a day.
	After time.Duration
}

// Error returns the text of Err.
func (e *Failure) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Failure) Unwrap() error { return e.Err }

// Permanent marks an error that no other attempt can mend: the backend says that
// the request itself is wrong. The job fails as [BackendRejected]. It returns nil
// for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &Failure{Type: BackendRejected, Err: err, Final: true}
}

// RetryAfter marks a passing fault after which the backend wants to be left alone
// for d. It returns nil for nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &Failure{Type: BackendError, Err: err, After: d}
}

// Unavailable marks an error that has nothing to do with the job: the backend
// could not be reached. The attempt does not count, and the job waits until the
// backend is back. It returns nil for nil.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &Failure{Type: BackendUnavailable, Err: err}
}

const maxMessage = 4096

// failureOf says what is to be made of an error of a backend. It keeps the text of the
// error, and not the error, whose methods are the backend's.
func failureOf(err error) *Failure {
	out := Failure{Type: BackendError, Err: errors.New("the backend gave no reason")}
	if f, ok := errors.AsType[*Failure](err); ok {
		if f == nil || f.Err == nil {
			return &out
		}
		out.Type, out.Final, out.After = or(f.Type, BackendError), f.Final, min(max(f.After, 0), 24*time.Hour)
	}
	out.Err = errors.New(clip(err.Error(), maxMessage))
	return &out
}

func (e *Failure) jobError() Error {
	return Error{Type: e.Type, Message: clip(e.Err.Error(), maxMessage), Retryable: !e.Final}
}

// clip cuts text to a number of bytes, at the end of a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}
