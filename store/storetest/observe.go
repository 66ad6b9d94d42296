package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// pages bounds how many pages of a list or feed are read before it is taken to
// have no end.
const pages = 20_000

// list reads all pages of a query, and holds each page to the rules of paging.
func (f *fixture) list(q store.Query) []store.Head {
	f.t.Helper()
	all := []store.Head{}
	for range pages {
		page, err := f.List(f.ctx, q)
		f.NoError(err)
		f.LessOrEqual(len(page.Heads), max(q.Limit, 1), "heads in a page")
		below := q.Before
		for _, h := range page.Heads {
			if !below.IsZero() {
				f.Negative(h.ID.Compare(below), "ids must descend, and stay below Before")
			}
			below = h.ID
		}
		all = append(all, page.Heads...)
		if page.Next.IsZero() {
			return all
		}
		if !below.IsZero() {
			f.LessOrEqual(page.Next.Compare(below), 0, "Next must not lie above the last head")
		}
		if !q.Before.IsZero() {
			f.Negative(page.Next.Compare(q.Before), "Next must descend from page to page")
		}
		q.Before = page.Next
	}
	f.FailNow("the list has no end")
	return nil
}

// feed reads the feed to its end, and holds each page to the rules of paging.
func (f *fixture) feed(q store.FeedQuery) []store.Event {
	f.t.Helper()
	all := []store.Event{}
	for range pages {
		page, err := f.Feed(f.ctx, q)
		f.NoError(err)
		f.LessOrEqual(len(page.Events), max(q.Limit, 1), "events in a page")
		after := q.After
		for _, e := range page.Events {
			f.Greater(e.Pos, after, "positions must grow, and stay above After")
			after = e.Pos
		}
		f.GreaterOrEqual(page.Next, after, "Next must not lie below the last event")
		all = append(all, page.Events...)
		if !page.More {
			return all
		}
		f.Greater(page.Next, q.After, "Next must grow from page to page")
		q.After = page.Next
	}
	f.FailNow("the feed has no end")
	return nil
}

// lanes returns the lanes by name; each is named once, and only if it has
// something ready.
func (f *fixture) lanes() map[string]store.Lane {
	f.t.Helper()
	list, err := f.Lanes(f.ctx)
	f.NoError(err)
	lanes := map[string]store.Lane{}
	for _, l := range list {
		f.NotContains(lanes, l.Name)
		f.Positive(l.Ready, "lane %q", l.Name)
		lanes[l.Name] = l
	}
	return lanes
}

// ready counts the ready records of each lane.
func (f *fixture) ready() map[string]int {
	f.t.Helper()
	counts := map[string]int{}
	for name, l := range f.lanes() {
		counts[name] = l.Ready
	}
	return counts
}

// position is "2 ahead", "not ready", or the error.
func (f *fixture) position(id ulid.ULID) string {
	f.t.Helper()
	ahead, ready, err := f.Position(f.ctx, id, 1000)
	switch {
	case err != nil:
		f.ErrorIs(err, store.ErrNotFound)
		return "not found"
	case !ready:
		f.Zero(ahead)
		return "not ready"
	}
	return fmt.Sprintf("%d ahead", ahead)
}

func (f *fixture) upcoming() store.Upcoming {
	f.t.Helper()
	u, err := f.Upcoming(f.ctx)
	f.NoError(err)
	return u
}

// observation is all that can be read of a store without changing it.
type observation struct {
	Records    map[ulid.ULID]store.Record
	Events     map[ulid.ULID][]store.Event
	Deliveries map[ulid.ULID][]store.Delivery
	Positions  map[ulid.ULID]string
	Heads      []store.Head
	Feed       []store.Event
	Lanes      []store.Lane
	Paused     store.Pause
	Overdue    []store.Head
	Upcoming   store.Upcoming
	Backlog    int
}

// observe reads everything of the listed records, and of those named besides,
// which may be unknown.
func (f *fixture) observe(more ...ulid.ULID) observation {
	f.t.Helper()
	o := observation{
		Records:    map[ulid.ULID]store.Record{},
		Events:     map[ulid.ULID][]store.Event{},
		Deliveries: map[ulid.ULID][]store.Delivery{},
		Positions:  map[ulid.ULID]string{},
		Heads:      f.list(store.Query{Limit: 100}),
		Feed:       f.feed(store.FeedQuery{Limit: 100}),
		Paused:     f.paused(),
		Overdue:    f.overdue(1000),
		Upcoming:   f.upcoming(),
		Backlog:    f.backlog(),
	}
	for _, t := range []*time.Time{&o.Upcoming.Run, &o.Upcoming.Deadline, &o.Upcoming.Delivery} {
		if t.Before(time.Now()) { // what there is to do already may be told by any past time
			*t = time.Time{}
		}
	}
	for _, l := range f.lanes() {
		o.Lanes = append(o.Lanes, l)
	}
	slices.SortFunc(o.Lanes, func(a, b store.Lane) int { return strings.Compare(a.Name, b.Name) })
	for _, id := range append(ids(o.Heads...), more...) {
		if r, err := f.Get(f.ctx, id); err == nil {
			o.Records[id] = r
		} else {
			f.ErrorIs(err, store.ErrNotFound)
		}
		o.Events[id] = append([]store.Event{}, f.events(id)...)
		o.Deliveries[id] = append([]store.Delivery{}, f.deliveries(id)...)
		o.Positions[id] = f.position(id)
	}
	return o
}
