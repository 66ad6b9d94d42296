package storetest

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func claimRules() []rule {
	return []rule{
		{"PriorityThenAge", claimOrder},
		{"Start", claimStart},
		{"StartBreaksContract", claimStartInvalid},
		{"Once", claimOnce},
		{"Limit", claimLimit},
		{"LanesApart", claimLanes},
		{"NothingThere", claimNothing},
		{"RunAt", claimRunAt},
		{"BecomesDueInOrder", claimBecomesDue},
		{"PastDeadline", claimPastDeadline},
		{"DeadlinePassesInQueue", claimDeadlinePasses},
		{"RequeuedKeepsItsPlace", claimRequeued},
		{"EndedIsNotClaimed", claimEnded},
	}
}

func claimOrder(f *fixture) {
	priorities := []int32{0, 5, -5, 0, math.MaxInt32, math.MinInt32, 5, 1, -1, 256, 0, -256, 65536, 255, -1}
	var heads []store.Head
	for i, p := range priorities {
		h := ranked("lane", p)
		h.Created = now().Add(-time.Duration(i) * time.Minute)
		heads = append(heads, h)
	}
	var want []store.Head
	for _, i := range []int{7, 3, 14, 0, 11, 10, 5, 1, 13, 2, 12, 9, 6, 8, 4} {
		want = append(want, f.add(heads[i])) // age is the order in which they became ready
	}
	slices.SortStableFunc(want, func(a, b store.Head) int {
		return cmp.Compare(b.Priority, a.Priority)
	})
	var got []ulid.ULID
	for _, n := range []int{1, 2, 5, 100} {
		got = append(got, recordIDs(f.claim("lane", n))...)
	}
	f.Equal(ids(want...), got)
}

func claimStart(f *fixture) {
	head := ranked("lane", 3)
	head.Owner, head.Labels, head.Note = "owner", map[string]string{"a": "b"}, []byte("note")
	head.Worker, head.Deadline = "earlier", now().Add(time.Minute)
	head = f.add(head)

	seen := map[ulid.ULID]store.Record{} // start may run more than once
	records, err := f.Claim(f.ctx, store.Claim{Worker: "worker", Lane: "lane", Limit: 5, Lease: long},
		func(r store.Record) store.Change {
			seen[r.ID] = r
			c := begin(r)
			c.Head.Kind, c.Head.Note = "from start", []byte("new")
			c.Head.Worker, c.Head.Deadline = "not mine to set", now().Add(-time.Hour)
			c.Deliveries = to("endpoint", c.Events)
			return c
		})
	f.NoError(err)
	f.Len(records, 1)
	f.Len(seen, 1)
	f.same(head, seen[head.ID].Head)
	f.Equal(spec(head.ID), seen[head.ID].Spec)
	f.Nil(seen[head.ID].Outcome)

	got := records[0]
	f.Equal(spec(head.ID), got.Spec)
	f.Nil(got.Outcome)
	f.Equal(store.Working, got.State)
	f.EqualValues(2, got.Version)
	f.EqualValues(2, got.Seq)
	f.Equal(1, got.Attempt)
	f.Equal("worker", got.Worker)
	f.Equal("from start", got.Kind)
	f.WithinDuration(time.Now().Add(long), got.Deadline, patience)
	f.WithinDuration(time.Now(), got.Started, patience)
	f.same(got.Head, f.get(head.ID).Head)

	f.Equal([]place{{head.ID, 1}, {head.ID, 2}}, places(f.feed(store.FeedQuery{Limit: 10})))
	d := f.send(10)
	f.Len(d, 1)
	f.Equal(body(head.ID, 2), d[0].Body)
}

func claimStartInvalid(f *fixture) {
	f.insert(sending("endpoint", 1))
	before := f.observe()
	_, err := f.Claim(f.ctx, store.Claim{Worker: "worker", Lane: "lane", Limit: 1, Lease: long},
		func(r store.Record) store.Change {
			c := begin(r)
			c.Head.Seq++
			return c
		})
	f.ErrorIs(err, store.ErrInvalid)
	f.Equal(before, f.observe(), "nothing changed")
}

func claimOnce(f *fixture) {
	a, b := f.add(queued("lane")), f.add(queued("lane"))
	f.Equal(ids(a, b), recordIDs(f.claim("lane", 10)))
	f.Empty(f.claim("lane", 10))
	f.Empty(f.claimFor("lane", 10, "another", long))
}

func claimLimit(f *fixture) {
	for range 5 {
		f.add(queued("lane"))
	}
	before := f.observe()
	for _, limit := range []int{0, -1, math.MinInt} {
		f.Empty(f.claim("lane", limit))
		f.Equal(before, f.observe())
	}
	f.Len(f.claim("lane", 3), 3)
	f.Len(f.claim("lane", math.MaxInt), 2)
}

func claimLanes(f *fixture) {
	lanes := []string{"", "a", "aa", "a\x00", "a\x00a", "\x00", "ab", "b", "A", "a\xff", "\xff"}
	in := map[string]store.Head{}
	for i, lane := range lanes {
		in[lane] = f.add(ranked(lane, int32(i)))
	}
	for _, lane := range lanes {
		f.Equal(ids(in[lane]), recordIDs(f.claim(lane, 10)), "%q", lane)
		f.Empty(f.claim(lane, 10), "%q", lane)
	}
}

func claimNothing(f *fixture) {
	f.Empty(f.claim("unknown", 10))
	f.add(queued("lane"))
	f.Empty(f.claim("unknown", 10))
	f.Empty(f.claim("lan", 10))
	f.Empty(f.claim("", 10))
}

func claimRunAt(f *fixture) {
	far, soon, past := ranked("lane", 9), ranked("lane", 8), ranked("lane", 1)
	far.RunAt, soon.RunAt, past.RunAt = now().Add(time.Hour), now().Add(10*brief), now().Add(-time.Hour)
	f.insert(insertion(far, 1), insertion(soon, 1), insertion(past, 1))
	var got []ulid.ULID
	f.eventually(func() bool {
		got = append(got, recordIDs(f.claim("lane", 10))...)
		return len(got) >= 2
	}, "delayed record to become due")
	f.ElementsMatch(ids(past, soon), got)
	f.Empty(f.claim("lane", 10))
	f.Equal(store.Queued, f.get(far.ID).State)
}

// What becomes due is behind what its owner had ready before, and of those that become
// due together the older is first.
func claimBecomesDue(f *fixture) {
	due := now().Add(brief)
	oldest, high, plain, low := queued("lane"), ranked("lane", 7), queued("lane"), ranked("lane", -1)
	oldest.RunAt, high.RunAt, low.RunAt = due, due, due
	f.insert(insertion(plain, 0), insertion(low, 0), insertion(high, 0), insertion(oldest, 0))
	f.eventually(func() bool { return f.ready()["lane"] == 4 }, "all to be ready")
	f.Equal(ids(high, plain, oldest, low), recordIDs(f.claim("lane", 10)))
}

func claimPastDeadline(f *fixture) {
	var late []store.Insertion
	for range 40 {
		h := ranked("lane", 5)
		h.Deadline = now().Add(-time.Minute)
		late = append(late, insertion(h, 0))
	}
	f.insert(late...)
	good := queued("lane")
	good.Deadline = now().Add(time.Hour)
	good = f.add(good)
	f.Equal(ids(good), recordIDs(f.claim("lane", 1)), "what is passed over does not count")
	f.Empty(f.claim("lane", 10))
	f.Len(f.overdue(100), 40, "passed over is not dropped")

	again := change(f.get(late[0].Head.ID).Head, store.Queued, 0)
	again.Head.Deadline = time.Time{}
	f.apply(again)
	f.Equal([]ulid.ULID{late[0].Head.ID}, recordIDs(f.claim("lane", 10)), "once the deadline is lifted")
}

func claimDeadlinePasses(f *fixture) {
	h := queued("lane")
	h.Deadline = now().Add(brief)
	f.add(h)
	f.isOverdue(h.ID)
	f.Empty(f.claim("lane", 10))
	f.Equal(store.Queued, f.get(h.ID).State, "the store does not act on a deadline")
}

func claimRequeued(f *fixture) {
	a, b, c := f.add(queued("lane")), f.add(queued("lane")), f.add(queued("lane"))
	first := f.claim("lane", 1)[0]
	f.Equal(a.ID, first.ID)
	f.apply(change(first.Head, store.Queued, 1))
	again := f.claim("lane", 2)
	f.Equal(ids(a, b), recordIDs(again))
	f.Equal(2, again[0].Attempt)
	f.EqualValues(4, again[0].Version)

	later := change(again[0].Head, store.Queued, 1)
	later.Head.RunAt = now().Add(time.Hour)
	f.apply(later)
	f.Equal(ids(c), recordIDs(f.claim("lane", 10)), "requeued for later")
}

func claimEnded(f *fixture) {
	h := f.apply(change(f.add(queued("lane")), "paused", 0))
	f.Empty(f.claim("lane", 10))
	f.apply(change(h, store.Queued, 0))
	f.Equal(ids(h), recordIDs(f.claim("lane", 10)), "until it is queued again")
}
