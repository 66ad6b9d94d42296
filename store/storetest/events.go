package storetest

import (
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func eventRules() []rule {
	return []rule{
		{"OfOneRecord", eventsOfRecord},
		{"FeedInCommitOrder", feedCommitOrder},
		{"FeedOfOneOwner", feedOwner},
		{"FeedPages", feedPages},
		{"FeedContinues", feedContinues},
		{"FeedPastNothing", feedPastNothing},
		{"FeedWithoutDeleted", feedDeleted},
		{"PositionsAreNotReused", feedPositions},
	}
}

func eventsOfRecord(f *fixture) {
	before, head, after := queued("lane"), queued("lane"), queued("lane")
	head.Owner = "owner"
	f.insert(insertion(before, 4), insertion(head, 3), insertion(after, 4))
	head = f.apply(change(f.get(head.ID).Head, store.Queued, 2))

	all := f.events(head.ID)
	f.Len(all, 5)
	pos := uint64(0)
	for i, e := range all {
		f.Equal(head.ID, e.ID)
		f.EqualValues(i+1, e.Seq)
		f.Equal("owner", e.Owner)
		f.Equal(eventData(head.ID, e.Seq), e.Data)
		f.Greater(e.Pos, pos)
		pos = e.Pos
	}
	for from := range 8 {
		for limit := 1; limit < 8; limit++ {
			got, err := f.Events(f.ctx, head.ID, uint64(from), limit)
			f.NoError(err)
			want := all[min(from, 5):min(from+limit, 5)]
			f.Len(got, len(want), "after %d, limit %d", from, limit)
			for i := range want {
				f.Equal(want[i], got[i])
			}
		}
	}
}

type place struct {
	id  ulid.ULID
	seq uint64
}

func places(events []store.Event) []place {
	list := []place{}
	for _, e := range events {
		list = append(list, place{e.ID, e.Seq})
	}
	return list
}

func feedCommitOrder(f *fixture) {
	var want []place
	old := queued("lane") // the oldest id is committed last
	a := f.add(queued("lane"))
	b := f.insert(insertion(queued("lane"), 2))[0]
	a = f.apply(change(a, store.Queued, 1))
	claimed := f.claim("lane", 1)[0]
	f.Equal(a.ID, claimed.ID)
	b = f.apply(change(b, done, 1))
	f.add(old)
	f.apply(end(claimed.Head))
	want = append(want, place{a.ID, 1}, place{b.ID, 1}, place{b.ID, 2}, place{a.ID, 2},
		place{a.ID, 3}, place{b.ID, 3}, place{old.ID, 1}, place{a.ID, 4})

	feed := f.feed(store.FeedQuery{Limit: 100})
	f.Equal(want, places(feed))
	for _, e := range feed {
		f.Positive(e.Pos)
		f.Equal(eventData(e.ID, e.Seq), e.Data)
		f.Equal(f.events(e.ID)[e.Seq-1], e, "the same event in both places")
	}
}

func feedOwner(f *fixture) {
	want := map[string][]place{"nobody": {}}
	for i := range 30 {
		head := queued("lane")
		head.Owner = []string{"ann", "anna", "", "ann\x00", "bob"}[i%5]
		f.insert(insertion(head, 1+i%2))
		for seq := range 1 + i%2 {
			want[head.Owner] = append(want[head.Owner], place{head.ID, uint64(seq + 1)})
		}
	}
	for owner, list := range want {
		if owner == "" {
			continue // stands for all
		}
		for _, limit := range []int{1, 3, 100} {
			feed := f.feed(store.FeedQuery{Owner: owner, Limit: limit})
			f.Equal(list, places(feed), "%q", owner)
			for _, e := range feed {
				f.Equal(owner, e.Owner)
			}
		}
	}
	f.Len(f.feed(store.FeedQuery{Limit: 100}), 45)
}

func feedPages(f *fixture) {
	for range 7 {
		f.insert(insertion(queued("lane"), 2))
	}
	all := f.feed(store.FeedQuery{Limit: 100})
	f.Len(all, 14)
	for _, limit := range []int{-1, 0, 1, 2, 13, 14, 15} {
		f.Equal(all, f.feed(store.FeedQuery{Limit: limit}), "limit %d", limit)
	}
	for i, e := range all {
		f.Equal(places(all[i+1:]), places(f.feed(store.FeedQuery{After: e.Pos, Limit: 4})))
	}
	page, err := f.Feed(f.ctx, store.FeedQuery{Limit: 4})
	f.NoError(err)
	f.True(page.More, "ten events follow")
}

// Next of the last page finds what is committed later, and nothing twice.
func feedContinues(f *fixture) {
	next := uint64(0)
	for i := range 5 {
		head := f.add(queued("lane"))
		page, err := f.Feed(f.ctx, store.FeedQuery{After: next, Limit: 10})
		f.NoError(err)
		f.Equal([]place{{head.ID, 1}}, places(page.Events), "round %d", i)
		f.GreaterOrEqual(page.Next, page.Events[0].Pos)
		next = page.Next

		for range 2 {
			page, err = f.Feed(f.ctx, store.FeedQuery{After: next, Limit: 10})
			f.NoError(err)
			f.Empty(page.Events)
			f.False(page.More)
			f.GreaterOrEqual(page.Next, next, "Next never goes back")
			next = page.Next
		}
	}
}

func feedPastNothing(f *fixture) {
	page, err := f.Feed(f.ctx, store.FeedQuery{Limit: 10})
	f.NoError(err)
	f.Empty(page.Events)
	f.False(page.More)

	for i := range 20 {
		head := queued("lane")
		head.Owner = fmt.Sprint("owner ", i%2)
		f.add(head)
	}
	page, err = f.Feed(f.ctx, store.FeedQuery{Owner: "nobody", Limit: 10})
	f.NoError(err)
	f.Empty(page.Events)
	f.Positive(page.Next, "Next grows even when no event matched")
}

func feedDeleted(f *fixture) {
	a, b, c := f.add(queued("lane")), f.add(queued("lane")), f.add(queued("lane"))
	b = f.apply(change(b, done, 2))
	next := f.feed(store.FeedQuery{Limit: 1})[0].Pos
	f.remove(b)
	for _, limit := range []int{1, 2, 10} {
		f.Equal([]place{{a.ID, 1}, {c.ID, 1}}, places(f.feed(store.FeedQuery{Limit: limit})))
		f.Equal([]place{{c.ID, 1}}, places(f.feed(store.FeedQuery{After: next, Limit: limit})))
	}
	f.remove(a, c)
	f.Empty(f.feed(store.FeedQuery{Limit: 10}))
}

// A reader that remembers where it was must see what comes next, even if all
// that it has read is gone.
func feedPositions(f *fixture) {
	last := uint64(0)
	for range 3 {
		heads := f.insert(insertion(queued("lane"), 2), insertion(queued("lane"), 1))
		for _, e := range f.feed(store.FeedQuery{Limit: 10}) {
			f.Greater(e.Pos, last)
			last = e.Pos
		}
		f.remove(heads...)
	}
}
