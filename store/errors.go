package store

import "errors"

// The errors that methods of a [Store] return, alone or wrapped.
var (
	// ErrNotFound says that there is no such record or delivery.
	ErrNotFound = errors.New("store: not found")
	// ErrStale says that the record or delivery has changed since the version
	// that the caller saw; nothing was changed.
	ErrStale = errors.New("store: changed since it was read")
	// ErrExists says that a record with this id is there already.
	ErrExists = errors.New("store: id exists")
	// ErrKeyReused says that the idempotency key belongs to a record that was
	// inserted with another fingerprint.
	ErrKeyReused = errors.New("store: idempotency key was used for something else")
	// ErrFull says that the store has reached its size limit. Changes to what
	// it holds still work; removing records makes room. Of [Queue.Pause] it says
	// that as many lanes are paused as can be.
	ErrFull = errors.New("store: full")
	// ErrInvalid says that the caller broke the contract.
	ErrInvalid = errors.New("store: invalid")
	// ErrDamaged says that stored bytes are not what was written.
	ErrDamaged = errors.New("store: damaged")
	// ErrUnavailable says that the store cannot be reached now: try again. Whether a
	// write that was on its way has happened is not known.
	ErrUnavailable = errors.New("store: cannot be reached now")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
)
