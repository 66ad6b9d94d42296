package foreman

import "context"

// Follower is implemented by a [Backend] that does not always serve the same models, so
// that [Pool.Serves] says something else after a while.
type Follower interface {
	// Follow keeps up with what is served until ctx ends, and calls changed each time
	// that Serves has begun to say something else: work that waits is then looked at
	// again. It is called by [Foreman.Run], once for each pool, and may return early.
	Follow(ctx context.Context, changed func())
}
