package foreman

import "context"

// Caller is who makes a request to the handler, for programs that tell callers
// apart: their own authentication puts it into the context of the request with
// [WithCaller]. A request without a Caller may do everything.
type Caller struct {
	// Owner is the name under which the caller's jobs are kept. It must not be
	// empty unless Admin is set.
	Owner string
	// Admin lets the caller see and change the jobs of every owner.
	Admin bool
}

type callerKey struct{}

// WithCaller returns a context for requests of a caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller that [WithCaller] has put into a context; without one, an
// admin without a name.
func CallerFrom(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(Caller); ok {
		return c
	}
	return Caller{Admin: true}
}

// sees reports whether the caller may know of a job.
func (c Caller) sees(owner string) bool { return c.Admin || c.Owner != "" && c.Owner == owner }
