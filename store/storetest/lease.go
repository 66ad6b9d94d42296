package storetest

import (
	"time"

	"github.com/foreman-go/foreman/store"
)

func leaseRules() []rule {
	return []rule{
		{"Extend", leaseExtend},
		{"ExtendShortens", leaseShorten},
		{"ExtendStale", leaseExtendStale},
		{"ExtendNotWorking", leaseExtendNotWorking},
		{"BelongsToStore", leaseBelongsToStore},
		{"EndsWithWork", leaseEndsWithWork},
		{"RunsOut", leaseRunsOut},
		{"LateResult", leaseLateResult},
		{"ExpiredButNotTaken", leaseNotTaken},
	}
}

// extend makes a batch of one, and returns its result.
func (f *fixture) extend(h store.Head, lease time.Duration) store.Result {
	f.t.Helper()
	results, err := f.Extend(f.ctx, refs(h), lease)
	f.NoError(err)
	f.Len(results, 1)
	return results[0]
}

func leaseExtend(f *fixture) {
	f.add(queued("lane"))
	h := f.claim("lane", 1)[0].Head
	feed := f.feed(store.FeedQuery{Limit: 10})

	result := f.extend(h, 5*time.Hour)
	f.NoError(result.Err)
	f.WithinDuration(time.Now().Add(5*time.Hour), result.Head.Deadline, patience)
	want := h
	want.Deadline = result.Head.Deadline
	f.same(want, result.Head)
	f.same(want, f.get(h.ID).Head)
	f.same(want, f.list(store.Query{})[0])
	f.Equal(want.Deadline, f.upcoming().Deadline)
	f.Equal(feed, f.feed(store.FeedQuery{Limit: 10}))
	f.apply(end(h)) // the version has not changed
}

func leaseShorten(f *fixture) {
	f.add(queued("lane"))
	h := f.claim("lane", 1)[0].Head
	f.Empty(f.overdue(10))
	f.NoError(f.extend(h, brief).Err)
	f.isOverdue(h.ID)
	f.NoError(f.extend(h, long).Err)
	f.Empty(f.overdue(10))
}

func leaseExtendStale(f *fixture) {
	f.insert(insertion(queued("lane"), 1), insertion(queued("lane"), 1), insertion(queued("lane"), 1))
	records := f.claim("lane", 3)
	good, moved, last := records[0].Head, records[1].Head, records[2].Head
	present := f.apply(change(moved, store.Working, 1))
	ahead := last
	ahead.Version++
	unknown := queued("lane")

	results, err := f.Extend(f.ctx, refs(good, moved, unknown, ahead, last), 3*long)
	f.NoError(err)
	f.Len(results, 5)
	f.NoError(results[0].Err)
	f.ErrorIs(results[1].Err, store.ErrStale)
	f.same(present, results[1].Head)
	f.ErrorIs(results[2].Err, store.ErrNotFound)
	f.ErrorIs(results[3].Err, store.ErrStale)
	f.NoError(results[4].Err)
	f.same(present, f.get(moved.ID).Head)
	for _, i := range []int{0, 4} {
		f.same(results[i].Head, f.get(results[i].Head.ID).Head)
		f.WithinDuration(time.Now().Add(3*long), results[i].Head.Deadline, patience)
	}
}

func leaseExtendNotWorking(f *fixture) {
	waiting := queued("lane")
	waiting.Deadline = now().Add(time.Hour)
	heads := []store.Head{f.add(waiting), f.apply(end(f.add(queued("lane"))))}
	before := f.observe()
	for _, h := range heads {
		f.Error(f.extend(h, 3*long).Err, "only a working record has a lease")
		f.Equal(before, f.observe(), "nothing changed")
	}
}

// A worker changes its record from the head it was given, while its lease was
// extended meanwhile: the change must not take the old deadline back.
func leaseBelongsToStore(f *fixture) {
	f.add(queued("lane"))
	h := f.claim("lane", 1)[0].Head
	extended := f.extend(h, 5*time.Hour).Head.Deadline

	progress := change(h, store.Working, 1)
	progress.Head.Deadline = h.Deadline
	f.Equal(extended, f.apply(progress).Deadline)
	f.Equal(extended, f.get(h.ID).Deadline)

	greedy := change(f.get(h.ID).Head, store.Working, 0)
	greedy.Head.Deadline = time.Time{}
	f.Equal(extended, f.apply(greedy).Deadline)
	f.Equal(extended, f.upcoming().Deadline)
}

// Once the record is not working, its deadline is what the change says.
func leaseEndsWithWork(f *fixture) {
	for _, c := range []struct {
		state    store.State
		deadline time.Time
	}{{done, now().Add(9 * long)}, {store.Queued, now().Add(8 * long)}, {failed, time.Time{}}} {
		f.add(queued("lane"))
		last := change(f.claim("lane", 1)[0].Head, c.state, 1)
		last.Head.Deadline = c.deadline
		f.Equal(c.deadline, f.apply(last).Deadline)
		f.Equal(c.deadline, f.get(last.Head.ID).Deadline)
		f.Equal(c.deadline, f.upcoming().Deadline)
		f.remove(f.get(last.Head.ID).Head)
	}
}

func leaseRunsOut(f *fixture) {
	f.add(queued("lane"))
	h := f.claimFor("lane", 1, "worker", brief)[0].Head
	f.WithinDuration(time.Now().Add(brief), h.Deadline, patience)
	f.same(h, f.isOverdue(h.ID))
	f.same(h, f.get(h.ID).Head)
	f.Empty(f.claim("lane", 10), "the store does not requeue by itself")
}

func leaseLateResult(f *fixture) {
	f.insert(sending("endpoint", 1))
	slow := f.claimFor("lane", 1, "slow", brief)[0].Head
	reaped := f.isOverdue(slow.ID)
	f.apply(change(reaped, store.Queued, 1))
	taken := f.claimFor("lane", 1, "quick", long)[0].Head
	f.Equal(slow.ID, taken.ID)
	before := f.observe()

	late := end(slow)
	late.Deliveries = to("endpoint", late.Events)
	for name, c := range map[string]store.Change{
		"end": late, "progress": change(slow, store.Working, 1), "give back": change(slow, store.Queued, 0),
	} {
		result := f.try(c)
		f.ErrorIs(result.Err, store.ErrStale, name)
		f.same(taken, result.Head)
	}
	result := f.extend(slow, 9*long)
	f.ErrorIs(result.Err, store.ErrStale)
	f.same(taken, result.Head)
	results, err := f.Delete(f.ctx, refs(slow))
	f.NoError(err)
	f.ErrorIs(results[0].Err, store.ErrStale)
	f.Equal(before, f.observe(), "nothing changed")

	f.Nil(f.get(slow.ID).Outcome)
	f.apply(end(taken))
	f.ErrorIs(f.try(late).Err, store.ErrStale, "a terminal record too")
	f.Equal("quick", f.get(slow.ID).Worker)
}

// Whoever first changes the record has it: that may still be its old worker.
func leaseNotTaken(f *fixture) {
	f.insert(insertion(queued("lane"), 1), insertion(queued("lane"), 1))
	records := f.claimFor("lane", 2, "slow", brief)
	a, b := f.isOverdue(records[0].ID), f.isOverdue(records[1].ID)
	f.apply(end(records[0].Head))
	f.ErrorIs(f.try(change(a, store.Queued, 1)).Err, store.ErrStale, "the reaper is late")

	f.NoError(f.extend(records[1].Head, long).Err, "the worker woke up")
	f.Empty(f.overdue(10))
	f.apply(end(records[1].Head))
	f.ErrorIs(f.try(change(b, store.Queued, 1)).Err, store.ErrStale)
}
