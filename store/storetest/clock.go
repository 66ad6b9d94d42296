package storetest

import (
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func clockRules() []rule {
	return []rule{
		{"OverdueOrder", overdueOrder},
		{"OverdueFollowsChanges", overdueFollowsChanges},
		{"NothingUpcoming", upcomingNothing},
		{"UpcomingRun", upcomingRun},
		{"UpcomingDeadline", upcomingDeadline},
		{"UpcomingDelivery", upcomingDelivery},
	}
}

// due is a new head in a state with a deadline, some minutes from now.
func (f *fixture) due(state store.State, minutes int) store.Head {
	f.t.Helper()
	h := queued("lane")
	c := change(f.add(h), state, 0)
	c.Head.Deadline = now().Add(time.Duration(minutes) * time.Minute)
	return f.apply(c)
}

func overdueOrder(f *fixture) {
	f.Empty(f.overdue(10))
	var working []store.Head
	for range 3 { // leases can only be short, and run out in turn
		h := f.add(queued("work"))
		working = append(working, f.isOverdue(f.claimFor("work", 1, "worker", time.Millisecond)[0].ID))
		f.Equal(h.ID, working[len(working)-1].ID)
	}
	var waiting, ended []store.Head
	for _, minutes := range []int{-3, -500, -1, -60, -2} {
		waiting = append(waiting, f.due(store.Queued, minutes))
		ended = append(ended, f.due([]store.State{done, failed, "aaa", "zzz"}[len(ended)%4], minutes-1))
	}
	for _, state := range []store.State{store.Queued, done} {
		f.due(state, 60)
		f.apply(change(f.add(queued("lane")), state, 0))
	}
	f.add(queued("work"))
	f.claim("work", 1)
	late := change(waiting[3], store.Queued, 0)
	late.Head.RunAt = now().Add(time.Hour) // delayed, and overdue all the same
	waiting[3] = f.apply(late)

	longest := func(a, b store.Head) int { return a.Deadline.Compare(b.Deadline) }
	for _, list := range [][]store.Head{waiting, working, ended} {
		slices.SortFunc(list, longest)
	}
	want := slices.Concat(waiting, working, ended)
	got := f.overdue(100)
	f.Equal(ids(want...), ids(got...))
	for i := range want {
		f.same(want[i], got[i])
	}
	for limit := 1; limit <= len(want); limit++ {
		f.Equal(ids(want[:limit]...), ids(f.overdue(limit)...), "limit %d", limit)
	}
}

func overdueFollowsChanges(f *fixture) {
	h := f.due(store.Queued, -5)
	f.Equal(ids(h), ids(f.overdue(10)...))
	c := change(h, store.Queued, 0)
	c.Head.Deadline = now().Add(time.Hour)
	h = f.apply(c)
	f.Empty(f.overdue(10), "put off")
	c = change(h, done, 0)
	c.Head.Deadline = now().Add(-time.Minute)
	h = f.apply(c)
	f.Equal(ids(h), ids(f.overdue(10)...), "ended, and to be seen to again")
	c = change(h, done, 0)
	c.Head.Deadline = time.Time{}
	h = f.apply(c)
	f.Empty(f.overdue(10), "lifted")
	c = change(h, done, 0)
	c.Head.Deadline = now().Add(-time.Minute)
	f.remove(f.apply(c))
	f.Empty(f.overdue(10), "deleted")
}

func upcomingNothing(f *fixture) {
	f.Zero(f.upcoming())
	f.add(queued("lane"))
	f.apply(end(f.add(queued("other"))))
	f.Zero(f.upcoming(), "a record that is ready is not upcoming")
}

func upcomingRun(f *fixture) {
	in := func(d time.Duration) store.Head {
		h := queued("lane")
		h.RunAt = now().Add(d)
		return f.add(h)
	}
	in(-time.Hour)
	late, soon, never := in(3*time.Hour), in(2*time.Hour), in(time.Hour)
	f.Equal(store.Upcoming{Run: never.RunAt}, f.upcoming())
	f.apply(change(never, "canceled", 0))
	f.Equal(store.Upcoming{Run: soon.RunAt}, f.upcoming(), "only queued records become due")
	f.remove(soon)
	f.Equal(store.Upcoming{Run: late.RunAt}, f.upcoming())

	c := change(late, store.Queued, 0)
	c.Head.RunAt = now().Add(brief)
	f.apply(c)
	f.eventually(func() bool { return f.upcoming().Run.IsZero() }, "delayed record to be due, and not upcoming")
	f.Equal(map[string]int{"lane": 2}, f.ready())
}

func upcomingDeadline(f *fixture) {
	ended, waiting := f.due(done, 180), f.due(store.Queued, 120)
	f.Equal(store.Upcoming{Deadline: waiting.Deadline}, f.upcoming())
	working := f.claim("lane", 1)[0].Head // with a lease of an hour
	f.Equal(store.Upcoming{Deadline: working.Deadline}, f.upcoming())
	c := change(working, done, 0)
	c.Head.Deadline = time.Time{}
	f.apply(c)
	f.Equal(store.Upcoming{Deadline: ended.Deadline}, f.upcoming())
	f.remove(ended)
	f.Zero(f.upcoming())
}

func upcomingDelivery(f *fixture) {
	in := func(hours ...int) ulid.ULID {
		s := sending("endpoint", len(hours))
		for i, h := range hours {
			s.Deliveries[i].Due = now().Add(time.Duration(h) * time.Hour)
		}
		return f.insert(s)[0].ID
	}
	due := func(id ulid.ULID) time.Time { return f.deliveries(id)[0].Due }

	blocked := in(3, 1, -1) // what waits behind the first is not due before it
	f.Equal(store.Upcoming{Delivery: due(blocked)}, f.upcoming())
	soon := in(2)
	f.Equal(store.Upcoming{Delivery: due(soon)}, f.upcoming())

	at := now().Add(90 * time.Minute)
	again := in(-1)
	f.Equal(store.Upcoming{Delivery: due(soon)}, f.upcoming(), "one that is due already is not to come")
	d := f.send(10)
	f.Len(d, 1)
	f.Equal(again, d[0].ID)
	f.Equal(store.Upcoming{Delivery: due(soon)}, f.upcoming(), "nor is one under way")
	s := settlement(d[0], store.Pending)
	s.Due = at
	f.NoError(f.settled(s)[0])
	f.Equal(store.Upcoming{Delivery: at}, f.upcoming(), "to be tried again")
}
