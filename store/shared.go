package store

import (
	"context"
	"time"
)

// Shared is implemented by a [Store] that several processes can have open at a time, and
// lets them work as one. One that can carry messages between them is a [Messenger] too.
type Shared interface {
	// Now is the time by the store's clock, as near as it is known without asking for it.
	// Whoever computes times for records takes it from here, so that a clock that is wrong
	// changes nothing.
	Now() time.Time

	// Hold gives an office to a holder until the lease has run out, by the store's clock,
	// or lets the one who has it keep it for so long from now. It reports whether the
	// holder has it: at any time at most one has. With a lease of 0 the holder gives it up,
	// and learns whether anybody else has it. Offices and holders are of 1 to 128 bytes;
	// others are [ErrInvalid].
	Hold(ctx context.Context, office, holder string, lease time.Duration) (bool, error)
}
