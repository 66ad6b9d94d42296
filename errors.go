package foreman

import (
	"context"
	"errors"
	"fmt"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// Code is a kind of error, and a stable word for it: the type of the problem
// document that the handler answers with. Codes are errors themselves, so that
// errors.Is(err, foreman.ErrNotFound) tells what happened.
type Code string

// Error returns the word.
func (c Code) Error() string { return string(c) }

// The kinds of errors. The methods of [Foreman] return them wrapped in a
// message that says what to do.
const (
	ErrMalformed        Code = "malformed_request"      // the request cannot be read: 400
	ErrInvalid          Code = "invalid_job"            // a field has a value that cannot be: 422
	ErrWebhookRefused   Code = "webhook_refused"        // the webhook URL is not allowed: 422
	ErrKeyReused        Code = "idempotency_key_reused" // the key was used for another request: 422
	ErrNotFound         Code = "not_found"              // there is no such job or artifact: 404
	ErrState            Code = "wrong_state"            // the job's state does not allow it: 409
	ErrGone             Code = "artifact_removed"       // the artifact's time is over: 410
	ErrTooLarge         Code = "too_large"              // more bytes than the limit: 413
	ErrBusy             Code = "busy"                   // too many wait already: 503
	ErrUnavailable      Code = "unavailable"            // a store cannot be used now: 503
	ErrFull             Code = "store_full"             // the store has reached its limit: 507
	ErrRunning          Code = "already_running"        // Run was called twice
	ErrForbidden        Code = "forbidden"              // only an admin may: 403
	ErrMethod           Code = "method_not_allowed"     // the path has no such method: 405
	ErrBackendDown      Code = "backend_unavailable"    // the backend cannot be reached: 503
	errLeaseLost        Code = "lease_lost"             // somebody else has the job now
	errGivenBack        Code = "given_back"             // Run is about to return, or it was not begun soon
	errCancelRequested  Code = "cancel_requested"       // somebody asked for the job to stop
	errRunTimeoutPassed Code = "run_timeout"            // the attempt took too long
)

// fromStore gives an error of a store the code that callers know.
func fromStore(err error) error {
	var code Code
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, store.ErrNotFound):
		code = ErrNotFound
	case errors.Is(err, store.ErrKeyReused):
		code = ErrKeyReused
	case errors.Is(err, store.ErrFull):
		code = ErrFull
	case errors.Is(err, store.ErrInvalid):
		code = ErrInvalid
	default:
		code = ErrUnavailable
	}
	return fmt.Errorf("%w: %w", code, err)
}

// fromArtifact is fromStore for an [artifact.Store].
func fromArtifact(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, artifact.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, artifact.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, artifact.ErrName):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case errors.Is(err, artifact.ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
