package store

import "context"

// Identified is implemented by a [Store] that has an id, which tells what is kept for it
// elsewhere, such as artifacts, from what is kept for another store.
type Identified interface {
	// ID returns the id: 1 to 64 printable ASCII characters without spaces. It is made with
	// the store, and remains: for all who have it open, when it is opened again, and when a
	// backup of it is restored. A copy of the store has it too.
	ID(ctx context.Context) (string, error)
}
