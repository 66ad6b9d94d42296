package store

import (
	"context"
	"time"
)

// Shared is implemented by a [Store] that several processes can have open at a time.
// What it offers beside the store lets them work as one.
type Shared interface {
	Messenger

	// Now is the time by the store's clock, as near as it is known without asking for it.
	// Whoever computes times for records takes it from here, so that a clock that is wrong
	// changes nothing.
	Now() time.Time

	// Hold gives an office to a holder until the lease has run out, by the store's clock,
	// or lets the one who has it keep it for so long from now. It reports whether the
	// holder has it: at any time one has. Names and holders are of 1 to 128 bytes; others
	// are [ErrInvalid].
	Hold(ctx context.Context, office, holder string, lease time.Duration) (bool, error)
}
