package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func listRules() []rule {
	return []rule{
		{"NewestFirst", listNewestFirst},
		{"Limit", listLimit},
		{"Before", listBefore},
		{"Filters", listFilters},
		{"CreatedBounds", listCreatedBounds},
		{"PagesUnderInserts", listUnderInserts},
		{"RareMatches", listRareMatches},
		{"FollowsChanges", listFollowsChanges},
	}
}

func listNewestFirst(f *fixture) {
	f.Empty(f.list(store.Query{Limit: 10}))
	var heads []store.Head
	for i := range 20 {
		h := ranked(fmt.Sprint("lane ", i%3), int32(i%4))
		h.Created = now().Add(-time.Duration(i) * time.Hour) // the order is that of the ids
		heads = append(heads, h)
	}
	want := ids(heads...)
	slices.Reverse(want)
	for _, i := range []int{13, 2, 19, 7, 0, 1, 18, 3, 4, 5, 6, 8, 9, 17, 10, 11, 12, 16, 14, 15} {
		f.same(f.add(heads[i]), f.get(heads[i].ID).Head)
	}
	listed := f.list(store.Query{Limit: 100})
	f.Equal(want, ids(listed...))
	for _, h := range listed {
		f.same(f.get(h.ID).Head, h)
	}
}

func listLimit(f *fixture) {
	var want []ulid.ULID
	for range 11 {
		want = append(want, f.add(queued("lane")).ID)
	}
	slices.Reverse(want)
	for _, limit := range []int{-1, 0, 1, 2, 3, 10, 11, 12, 1000} {
		f.Equal(want, ids(f.list(store.Query{Limit: limit})...), "limit %d", limit)
	}
}

func listBefore(f *fixture) {
	var all []ulid.ULID
	for range 9 {
		all = append(all, f.add(queued("lane")).ID)
	}
	newest := ulid.Make()
	f.Len(f.list(store.Query{Before: newest, Limit: 4}), 9)
	for i, id := range all {
		below := slices.Clone(all[:i])
		slices.Reverse(below)
		f.Equal(below, ids(f.list(store.Query{Before: id, Limit: 4})...))
	}
	f.remove(f.get(all[4]).Head)
	f.Equal([]ulid.ULID{all[3], all[2], all[1], all[0]},
		ids(f.list(store.Query{Before: all[4], Limit: 4})...), "a page can begin at a record that is gone")
}

// catalog adds two records for each combination of owner, kind and labels, of
// which one has ended. It returns them as a list would.
func (f *fixture) catalog() []store.Head {
	f.t.Helper()
	var batch []store.Insertion
	for _, owner := range []string{"", "ann", "bob", "anna"} {
		for _, kind := range []string{"", "small", "large"} {
			for _, labels := range []map[string]string{nil, {"team": "blue"}, {"team": "red", "tier": "1"}, {"team": ""}} {
				for range 2 {
					h := queued("lane")
					h.Owner, h.Kind, h.Labels = owner, kind, labels
					batch = append(batch, insertion(h, 0))
				}
			}
		}
	}
	heads := f.insert(batch...)
	for i := range heads {
		if i%2 == 1 {
			heads[i] = f.apply(change(heads[i], []store.State{done, failed}[i/2%2], 0))
		}
	}
	slices.Reverse(heads)
	return heads
}

// matches is what a query says, read literally.
func matches(q store.Query, h store.Head) bool {
	for k, v := range q.Labels {
		if got, ok := h.Labels[k]; !ok || got != v {
			return false
		}
	}
	return (q.Owner == "" || q.Owner == h.Owner) &&
		(q.State == "" || q.State == h.State) &&
		(q.Kind == "" || q.Kind == h.Kind) &&
		(q.CreatedAfter.IsZero() || h.Created.After(q.CreatedAfter)) &&
		(q.CreatedBefore.IsZero() || h.Created.Before(q.CreatedBefore)) &&
		(q.Before.IsZero() || h.ID.Compare(q.Before) < 0)
}

func matching(q store.Query, heads []store.Head) []ulid.ULID {
	list := []ulid.ULID{}
	for _, h := range heads {
		if matches(q, h) {
			list = append(list, h.ID)
		}
	}
	return list
}

func listFilters(f *fixture) {
	heads := f.catalog()
	for _, owner := range []string{"", "ann", "nobody"} {
		for _, state := range []store.State{"", store.Queued, done, "unheard of"} {
			for _, kind := range []string{"", "small", "none"} {
				for _, labels := range []map[string]string{
					nil,
					{"team": "blue"},
					{"team": "red"},
					{"team": "red", "tier": "1"},
					{"team": "blue", "tier": "1"},
					{"team": ""},
					{"tier": ""},
					{"no": "such"},
				} {
					q := store.Query{Owner: owner, State: state, Kind: kind, Labels: labels, Limit: 7}
					f.Equal(matching(q, heads), ids(f.list(q)...), "%+v", q)
					q.Before = heads[len(heads)/2].ID
					f.Equal(matching(q, heads), ids(f.list(q)...), "%+v", q)
				}
			}
		}
	}
}

func listCreatedBounds(f *fixture) {
	start := now().Add(-time.Hour)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Microsecond) }
	var heads []store.Head
	for _, i := range []int{3, 0, 4, 1, 2, 2} { // not in the order of the ids
		h := queued("lane")
		h.Created = at(i)
		h.Owner = []string{"even", "odd"}[i%2]
		heads = append(heads, f.add(h))
	}
	slices.Reverse(heads)
	for after := -1; after < 6; after++ {
		for before := -1; before < 6; before++ {
			for _, owner := range []string{"", "odd"} {
				q := store.Query{Owner: owner, CreatedAfter: at(after), CreatedBefore: at(before), Limit: 3}
				f.Equal(matching(q, heads), ids(f.list(q)...), "after %d, before %d", after, before)
			}
		}
		q := store.Query{CreatedAfter: at(after), Limit: 3}
		f.Equal(matching(q, heads), ids(f.list(q)...), "after %d", after)
		q = store.Query{CreatedBefore: at(after), Limit: 3}
		f.Equal(matching(q, heads), ids(f.list(q)...), "before %d", after)
	}
}

// Whoever pages through a list sees what was there all the while exactly once,
// however much is added.
func listUnderInserts(f *fixture) {
	var old []store.Insertion
	for range 60 {
		old = append(old, insertion(queued("lane"), 0))
	}
	want := ids(f.insert(old...)...)
	slices.Reverse(want)

	ended := make(chan error, 1)
	go func() {
		for range 300 {
			if _, err := f.Insert(f.ctx, []store.Insertion{insertion(queued("lane"), 0)}); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for inserting := true; inserting; {
		select {
		case err := <-ended:
			f.NoError(err)
			inserting = false
		default:
		}
		seen := ids(f.list(store.Query{Limit: 7})...)
		f.Equal(want, seen[len(seen)-len(want):])
		f.True(slices.IsSortedFunc(seen, func(a, b ulid.ULID) int { return b.Compare(a) }))
	}
}

// A filter that matches almost nothing costs pages, but hides nothing.
func listRareMatches(f *fixture) {
	var batch []store.Insertion
	for i := range 1500 {
		h := queued("lane")
		h.Owner, h.Kind = "many", "many"
		if i == 3 || i == 1100 {
			h.Owner, h.Kind, h.Labels = "few", "few", map[string]string{"few": "yes"}
		}
		batch = append(batch, insertion(h, 0))
	}
	f.insert(batch...)
	want := []ulid.ULID{batch[1100].Head.ID, batch[3].Head.ID}
	for _, q := range []store.Query{{Owner: "few"}, {Kind: "few"}, {Labels: map[string]string{"few": "yes"}}, {Owner: "few", State: store.Queued}} {
		for _, q.Limit = range []int{1, 2, 50} {
			f.Equal(want, ids(f.list(q)...), "%+v", q)
		}
	}
}

func listFollowsChanges(f *fixture) {
	f.add(queued("lane"))
	in := func(s store.State) int { return len(f.list(store.Query{State: s, Limit: 10})) }
	f.Equal([]int{1, 0, 0}, []int{in(store.Queued), in(store.Working), in(done)})
	h := f.claim("lane", 1)[0].Head
	f.Equal([]int{0, 1, 0}, []int{in(store.Queued), in(store.Working), in(done)})
	f.same(h, f.list(store.Query{State: store.Working})[0])
	h = f.apply(end(h))
	f.Equal([]int{0, 0, 1}, []int{in(store.Queued), in(store.Working), in(done)})
	h = f.apply(change(h, store.Queued, 1))
	f.Equal([]int{1, 0, 0}, []int{in(store.Queued), in(store.Working), in(done)})
	f.remove(h)
	f.Equal([]int{0, 0, 0}, []int{in(store.Queued), in(store.Working), in(done)})
}
