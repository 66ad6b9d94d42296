package storetest

import (
	"fmt"
	"math"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func laneRules() []rule {
	return []rule{
		{"Counts", lanesCount},
		{"TopPriority", lanesPriority},
		{"Since", lanesSince},
		{"SinceOfOwners", lanesSinceOfOwners},
		{"Kind", lanesKind},
		{"Delayed", lanesDelayed},
		{"PastDeadline", lanesPastDeadline},
		{"Position", positionOrder},
		{"PositionStopsAtLimit", positionLimit},
		{"PositionNotReady", positionNotReady},
	}
}

func lanesCount(f *fixture) {
	f.Empty(f.lanes())
	var heads []store.Head
	for range 3 {
		heads = append(heads, f.add(queued("a")))
	}
	f.add(queued("ab"))
	f.add(queued(""))
	f.Equal(map[string]int{"a": 3, "ab": 1, "": 1}, f.ready())

	working := f.claim("a", 2)
	f.Equal(map[string]int{"a": 1, "ab": 1, "": 1}, f.ready(), "claimed")
	f.apply(change(working[0].Head, store.Queued, 1))
	f.Equal(map[string]int{"a": 2, "ab": 1, "": 1}, f.ready(), "requeued")
	f.apply(end(working[1].Head))
	f.Equal(map[string]int{"a": 2, "ab": 1, "": 1}, f.ready(), "ended")
	f.apply(change(f.get(heads[2].ID).Head, "canceled", 1))
	f.Equal(map[string]int{"a": 1, "ab": 1, "": 1}, f.ready(), "canceled while queued")
	f.apply(change(f.get(heads[0].ID).Head, store.Queued, 1))
	f.Equal(map[string]int{"a": 1, "ab": 1, "": 1}, f.ready(), "changed while queued")
	f.apply(change(f.get(heads[1].ID).Head, store.Queued, 1))
	f.Equal(map[string]int{"a": 2, "ab": 1, "": 1}, f.ready(), "queued again after its end")

	f.claim("ab", 1)
	f.claim("a", 10)
	f.Equal(map[string]int{"": 1}, f.ready(), "an empty lane is not told of")
}

func lanesPriority(f *fixture) {
	top := func() int32 { return f.lanes()["lane"].Priority }
	f.add(ranked("lane", math.MinInt32))
	f.EqualValues(math.MinInt32, top())
	f.add(ranked("lane", -3))
	f.EqualValues(-3, top())
	high := f.add(ranked("lane", math.MaxInt32))
	f.add(ranked("lane", 0))
	f.EqualValues(math.MaxInt32, top())
	c := change(high, store.Queued, 0)
	c.Head.Priority = -9
	f.apply(c)
	f.EqualValues(0, top())
	f.claim("lane", 1)
	f.EqualValues(-3, top())
	f.claim("lane", 1)
	f.EqualValues(-9, top())
}

func lanesSince(f *fixture) {
	ago := func(minutes int) time.Time { return now().Add(-time.Duration(minutes) * time.Minute) }
	since := func() time.Time { return f.lanes()["lane"].Since }
	top := func() time.Time { return f.lanes()["lane"].Top }

	first, behind := ranked("lane", 5), ranked("lane", 5)
	first.Created, first.RunAt = ago(90), ago(10)
	first = f.add(first)
	f.Equal(first.RunAt, since(), "due at RunAt")
	f.Equal(first.RunAt, top())
	behind.Created, behind.RunAt = ago(80), ago(50)
	behind = f.add(behind)
	f.Equal(behind.RunAt, since(), "whichever has waited longest")

	low := ranked("lane", 1)
	low.Created = ago(60)
	low = f.add(low)
	f.Equal(low.Created, since(), "due when it was made, having no RunAt")
	f.Equal(behind.RunAt, top(), "of those with the highest priority")

	high := ranked("lane", 9)
	high.Created, high.RunAt = ago(70), ago(65)
	high = f.add(high)
	f.Equal(high.RunAt, since())
	f.Equal(high.RunAt, top())

	f.Equal(ids(high, first), recordIDs(f.claim("lane", 2)))
	f.Equal(low.Created, since())
	f.Equal(ids(behind), recordIDs(f.claim("lane", 1)))
	f.Equal(low.Created, since())
}

// Those who have just come, and those that are retried, do not hide who waits behind them.
func lanesSinceOfOwners(f *fixture) {
	at := func(owner string, minutes int) store.Head {
		h := by(owner)
		h.Created = now().Add(-time.Duration(minutes) * time.Minute)
		return f.add(h)
	}
	since := func() time.Time { return f.lanes()["lane"].Since }
	at("a", 90)
	longest := at("a", 80)
	retried := change(f.claim("lane", 1)[0].Head, store.Queued, 0)
	retried.Head.RunAt = now().Add(-time.Minute)
	f.apply(retried)
	f.Equal(longest.Created, since())
	for n := range 62 {
		at(fmt.Sprint(n), 10)
		at(fmt.Sprint(n), 10)
	}
	f.Equal(longest.Created, since(), "of 63 owners")
	for n := range 100 {
		h := at(fmt.Sprint("more ", n), 10)
		f.False(since().Before(longest.Created), "never earlier")
		f.False(since().After(h.Created), "nor later than all of the first")
	}
}

// The kind is that of the record which would be claimed.
func lanesKind(f *fixture) {
	kind := func() string { return f.lanes()["lane"].Kind }
	add := func(owner, kind string, priority int32) store.Head {
		h := by(owner)
		h.Kind, h.Priority = kind, priority
		return f.add(h)
	}
	first := add("a", "first", 0)
	add("a", "second", 0)
	add("b", "other", 0)
	f.Equal("first", kind())
	high := add("a", "high", 1)
	f.Equal("high", kind())
	f.remove(high)
	f.Equal("first", kind())
	changed := change(first, store.Queued, 0)
	changed.Head.Kind = "changed"
	f.apply(changed)
	f.Equal("changed", kind())
	for _, next := range []string{"other", "second"} {
		f.claim("lane", 1)
		f.Equal(next, kind())
	}
	f.add(queued("none"))
	f.Empty(f.lanes()["none"].Kind)
}

func lanesDelayed(f *fixture) {
	h := ranked("lane", 4)
	h.RunAt = now().Add(time.Hour)
	h = f.add(h)
	f.Empty(f.lanes())
	c := change(h, store.Queued, 0)
	c.Head.RunAt = now().Add(brief)
	h = f.apply(c)
	f.eventually(func() bool { return len(f.lanes()) > 0 }, "delayed record to be ready")
	lane := f.lanes()["lane"]
	f.Equal(store.Lane{Name: "lane", Ready: 1, Priority: 4, Since: h.RunAt, Top: h.RunAt}, lane)
	f.Equal("0 ahead", f.position(h.ID))

	c = change(h, store.Queued, 0)
	c.Head.RunAt = now().Add(time.Hour)
	h = f.apply(c)
	f.Empty(f.lanes(), "delayed again")
	c = change(h, store.Queued, 0)
	c.Head.RunAt = time.Time{}
	f.apply(c)
	f.Equal(map[string]int{"lane": 1}, f.ready(), "not delayed any more")
}

// What nobody can claim any more may be counted, but only until it is changed.
func lanesPastDeadline(f *fixture) {
	late, open := ranked("lane", 9), ranked("lane", 2)
	late.Deadline, open.Deadline = now().Add(-time.Minute), now().Add(time.Hour)
	late, open = f.add(late), f.add(open)
	f.Contains([]int{1, 2}, f.lanes()["lane"].Ready)
	f.Contains([]string{"0 ahead", "1 ahead"}, f.position(open.ID))
	f.Equal(ids(open), recordIDs(f.claim("lane", 10)))

	f.apply(change(late, done, 0))
	f.Empty(f.lanes())
	f.Equal("not ready", f.position(late.ID))
}

func positionOrder(f *fixture) {
	heads := []store.Head{
		f.add(ranked("lane", 0)), f.add(ranked("lane", 5)), f.add(ranked("lane", 0)),
		f.add(ranked("lane", -5)), f.add(ranked("lane", 5)),
	}
	f.add(ranked("lan", 9))
	f.add(ranked("lane2", 9))
	delayed := ranked("lane", 9)
	delayed.RunAt = now().Add(time.Hour)
	f.add(delayed)

	all := func() []string {
		var list []string
		for _, h := range heads {
			list = append(list, f.position(h.ID))
		}
		return list
	}
	f.Equal([]string{"2 ahead", "0 ahead", "3 ahead", "4 ahead", "1 ahead"}, all())
	first := f.claim("lane", 1)[0]
	f.Equal([]string{"1 ahead", "not ready", "2 ahead", "3 ahead", "0 ahead"}, all())
	f.apply(change(first.Head, store.Queued, 1))
	f.Equal([]string{"2 ahead", "0 ahead", "3 ahead", "4 ahead", "1 ahead"}, all())
	f.remove(f.get(heads[0].ID).Head)
	f.Equal([]string{"not found", "0 ahead", "2 ahead", "3 ahead", "1 ahead"}, all())
}

func positionLimit(f *fixture) {
	var last store.Head
	for range 10 {
		last = f.add(queued("lane"))
	}
	for limit, want := range map[int]int{1: 1, 5: 5, 8: 8, 9: 9, 10: 9, 1000: 9} {
		ahead, ready, err := f.Position(f.ctx, last.ID, limit)
		f.NoError(err)
		f.True(ready)
		f.Equal(want, ahead, "limit %d", limit)
	}
}

func positionNotReady(f *fixture) {
	f.add(queued("lane"))
	working := f.claim("lane", 1)[0].Head
	f.Equal("not ready", f.position(working.ID))
	f.Equal("not ready", f.position(f.apply(end(working)).ID))
	delayed := queued("lane")
	delayed.RunAt = now().Add(time.Hour)
	f.Equal("not ready", f.position(f.add(delayed).ID))
	f.Equal("not found", f.position(ulid.Make()))
}
