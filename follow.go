package foreman

import "context"

// Follower is implemented by a [Backend] that does not always have the same models.
type Follower interface {
	// Has says whether the backend has a model, as far as is known. It must be quick, and
	// ask nobody. Where other processes share the queue, which is where the store is a
	// [store.Shared], jobs of a model that the backend has not are left to those that may,
	// or wait until one has it. Elsewhere they are begun all the same, to hear from the
	// backend that there is no such model; and so are callers of [Foreman.Do] everywhere,
	// who cannot go to another process.
	Has(model string) bool
	// Follow keeps up with what is served until ctx ends, and calls changed each time
	// that Has, or [Pool.Serves], has begun to say something else: work that waits is then looked at
	// again. It is called by [Foreman.Run], once for each pool, and may return early.
	Follow(ctx context.Context, changed func())
}
