package store

import (
	"context"

	"github.com/oklog/ulid/v2"
)

// Mover is implemented by a [Store] whose records can be moved to another one as they
// are.
type Mover interface {
	// Export returns records with ids above after, in the order of their ids: at most
	// limit of them, and no more once they hold 16 MiB. There are none left when it returns
	// none. Deliveries of records that were deleted are not among them: [Outbox.Backlog]
	// counts those that are pending.
	Export(ctx context.Context, after ulid.ULID, limit int) ([]Whole, error)

	// Import adds records as they are: with their version, state, events, deliveries and
	// idempotency key. Events get a new place in the feed, in the order in which they are
	// given, and records that are queued a new turn. One that is there already is left as
	// it is: the result has Existing set if that has the same version or a later one, and
	// otherwise [ErrExists]; one whose idempotency key another record holds is [ErrKeyReused].
	Import(ctx context.Context, in []Whole) ([]Result, error)
}

// Whole is a record with all that belongs to it.
type Whole struct {
	Record
	Events     []Event    // all of them
	Deliveries []Delivery // all of them, with their bodies
}
