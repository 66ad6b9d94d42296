package foreman

import (
	"context"
	"fmt"

	"github.com/foreman-go/foreman/store"
)

// FeedQuery selects events for [Foreman.Feed].
type FeedQuery struct {
	Owner string // only those of this owner's jobs; empty for all
	After uint64 // only positions above: the Next of the page before
	// Limit is from 1 to 10,000. If Limit is 0, 1,000 is used.
	Limit int
}

// FeedPage is a part of the feed. Next is the After that continues it, whether or not
// there is more yet.
type FeedPage struct {
	Events []Event
	Next   uint64
	More   bool // something may follow now
}

// Feed returns the changes of state of all jobs, in the order in which they were
// committed, for as long as their jobs are kept: for a reader that wants to miss none,
// and was not always there. Errors: [ErrUnavailable] and the context's.
func (f *Foreman) Feed(ctx context.Context, q FeedQuery) (*FeedPage, error) {
	const standard, most = 1000, 10_000
	p, err := f.o.Store.Feed(ctx, store.FeedQuery{
		Owner: q.Owner, After: q.After, Limit: min(max(or(q.Limit, standard), 1), most),
	})
	if err != nil {
		return nil, fmt.Errorf("feed: %w", fromStore(err))
	}
	out := &FeedPage{Events: make([]Event, 0, len(p.Events)), Next: p.Next, More: p.More}
	for _, s := range p.Events {
		e, err := decodeEvent(s)
		if err != nil {
			return nil, fmt.Errorf("feed: %w", fromStore(err))
		}
		out.Events = append(out.Events, e)
	}
	return out, nil
}
