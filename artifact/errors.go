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
)
