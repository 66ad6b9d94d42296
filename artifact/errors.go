package artifact

import "errors"

// The errors that this package returns, wrapped in one that says more.
var (
	// ErrNotFound says that there is no artifact under this key.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge says that an artifact is larger than its limit.
	ErrTooLarge = errors.New("too large")
	// ErrName says that a name cannot be that of an artifact, or an id not that
	// of a job.
	ErrName = errors.New("invalid name")
	// ErrContentType says that a text is not a content type.
	ErrContentType = errors.New("invalid content type")
	// ErrUnavailable says that a store cannot be used now: it cannot be reached,
	// or refuses to be used. It may be right again later.
	ErrUnavailable = errors.New("the artifact store cannot be used now")
	// ErrOwned says that a store belongs to another queue than the one that is to use it.
	ErrOwned = errors.New("belongs to another queue")
	// ErrChanged says that an artifact was replaced while it was read, by a store
	// that cannot read on in what was there before.
	ErrChanged = errors.New("replaced while it was read")
)
