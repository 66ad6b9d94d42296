package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/foreman-go/foreman/store"
)

func endpointRules() []rule {
	return []rule{
		{"PerEndpoint", endpointShare},
		{"PassedOver", endpointPassed},
		{"Room", endpointRoom},
		{"NamedAlone", endpointNamedAlone},
		{"Bytes", endpointBytes},
		{"HeldInFront", endpointHeld},
		{"TakenInTurn", endpointTurns},
		{"AfterUnknown", endpointAfterUnknown},
		{"DeadOneHidesNobody", endpointDead},
		{"NamesAlike", endpointNames},
	}
}

// crowd inserts n records with one delivery each to an endpoint.
func (f *fixture) crowd(endpoint string, n int) {
	f.t.Helper()
	var batch []store.Insertion
	for range n {
		batch = append(batch, sending(endpoint, 1))
	}
	f.insert(batch...)
}

func endpointsOf(list []store.Delivery) []string {
	names := []string{}
	for _, d := range list {
		names = append(names, d.Endpoint)
	}
	return names
}

func endpointShare(f *fixture) {
	f.crowd("a", 5)
	f.crowd("b", 1)
	f.crowd("c", 5)
	claim := func(limit, share int) []string {
		f.t.Helper()
		names := endpointsOf(f.sendAs(store.DeliveryClaim{Limit: limit, PerEndpoint: share}))
		slices.Sort(names)
		return names
	}
	f.Equal([]string{"a", "a", "b", "c", "c"}, claim(10, 2))
	f.Equal([]string{"a", "c"}, claim(10, 1), "a share of each claim, not of all together")
	f.Len(claim(3, 2), 3, "the limit holds too")
	f.Len(claim(10, 0), 1, "0 means the limit")
}

// noRoom passes over these endpoints.
func noRoom(names ...string) map[string]int {
	room := map[string]int{}
	for i, name := range names {
		room[name] = -i
	}
	return room
}

func endpointPassed(f *fixture) {
	f.crowd("a", 2)
	f.crowd("b", 2)
	f.crowd("c", 2)
	skip := func(names ...string) []string {
		f.t.Helper()
		got := endpointsOf(f.sendAs(store.DeliveryClaim{Limit: 10, PerEndpoint: 1, Room: noRoom(names...)}))
		slices.Sort(got)
		return got
	}
	f.Empty(skip("a", "b", "c"))
	f.Equal([]string{"b"}, skip("c", "a", "unknown"))
	f.Equal([]string{"a", "c"}, skip("b"))
	f.Equal([]string{"a", "b", "c"}, skip("", "ab"))
	f.Empty(skip())
}

// An endpoint that is named has its own measure, greater or smaller.
func endpointRoom(f *fixture) {
	for _, name := range []string{"a", "b", "c", "d"} {
		f.crowd(name, 6)
	}
	counts := func(c store.DeliveryClaim) map[string]int {
		f.t.Helper()
		got := map[string]int{}
		for _, d := range f.sendAs(c) {
			got[d.Endpoint]++
		}
		return got
	}
	room := map[string]int{"a": 3, "b": 1, "c": 0, "unknown": 5}
	f.Equal(map[string]int{"a": 3, "b": 1, "d": 2}, counts(store.DeliveryClaim{Limit: 100, PerEndpoint: 2, Room: room}))
	f.Equal(map[string]int{"a": 2}, counts(store.DeliveryClaim{Limit: 2, PerEndpoint: 1, Room: room}), "the limit holds too")
	f.Equal(map[string]int{"b": 1, "d": 2}, counts(store.DeliveryClaim{Limit: 3, PerEndpoint: 9, Room: room, After: "a"}))
	f.Equal(map[string]int{"b": 1, "d": 2}, counts(store.DeliveryClaim{Limit: 100, Room: map[string]int{"a": -1, "b": 1, "c": 0}}))
	f.Equal(map[string]int{"a": 1, "b": 3, "c": 6}, counts(store.DeliveryClaim{Limit: 100}), "everything once")
	f.Empty(f.send(100))
}

// Behind deliveries that are held, others of the same endpoint are found: new ones,
// those given back, those whose time or turn has come.
func endpointHeld(f *fixture) {
	in := []store.Insertion{}
	for range 40 {
		in = append(in, sending("endpoint", 2))
	}
	in[0].Deliveries[0].Due = now().Add(10 * brief)
	f.insert(in...)
	held := f.send(100)
	f.Len(held, 39, "one is not due yet")
	f.Empty(f.send(100))
	f.crowd("endpoint", 1)
	f.Len(f.send(100), 1)

	f.settle(store.Pending, held[3])
	f.settle(store.Delivered, held[30])
	again := f.send(1)
	again = append(again, f.send(100)...)
	var got []place
	for _, d := range again {
		got = append(got, place{d.ID, d.Seq})
	}
	f.ElementsMatch([]place{{held[3].ID, 1}, {held[30].ID, 2}}, got)
	f.Empty(f.sendAs(store.DeliveryClaim{Limit: 100, Room: map[string]int{"endpoint": 7}}))

	var late []store.Delivery
	f.eventually(func() bool { late = f.sendAs(store.DeliveryClaim{Limit: 9, Lease: brief}); return len(late) > 0 }, "the first to become due")
	f.Equal(in[0].Head.ID, late[0].ID)
	f.eventually(func() bool { late = f.send(100); return len(late) > 0 }, "its lease to run out")
	f.Len(late, 1)
	f.Equal(in[0].Head.ID, late[0].ID)
}

// Whoever claims with the last endpoint it was given as After comes round to
// every endpoint before it meets one again.
func endpointTurns(f *fixture) {
	names := []string{"d", "b", "a", "e", "c"}
	for _, name := range names {
		f.crowd(name, 6)
	}
	for _, limit := range []int{1, 2, 3} {
		last, turns := "", []string{}
		for len(turns) < 10 {
			got := endpointsOf(f.sendAs(store.DeliveryClaim{
				Limit: min(limit, 5-len(turns)%5), PerEndpoint: 1, After: last,
			}))
			f.NotEmpty(got)
			last = got[len(got)-1]
			turns = append(turns, got...)
		}
		f.ElementsMatch(names, turns[:5], "limit %d", limit)
		f.Equal(turns[:5], turns[5:10], "limit %d: the same round again", limit)
	}
}

// The endpoint named by After may have nothing left, or never have been.
func endpointAfterUnknown(f *fixture) {
	for _, after := range []string{"a", "b", "bb", "c", "zzz", "\xff"} {
		f.crowd("b", 1)
		f.crowd("d", 1)
		got := endpointsOf(f.sendAs(store.DeliveryClaim{Limit: 10, After: after}))
		f.ElementsMatch([]string{"b", "d"}, got, "after %q", after)
	}
}

func endpointDead(f *fixture) {
	f.crowd("dead", 400)
	f.crowd("dead too", 400)
	f.crowd("well", 1)
	got := f.sendAs(store.DeliveryClaim{Limit: 10, PerEndpoint: 2})
	f.Len(got, 5)
	f.Contains(endpointsOf(got), "well", "it has its share")

	f.crowd("well", 1)
	got = f.sendAs(store.DeliveryClaim{Limit: 1, Room: noRoom("dead", "dead too")})
	f.Equal([]string{"well"}, endpointsOf(got), "whatever is passed over")

	var later []store.Insertion
	for i := range 400 { // in backoff, and longer waiting than any other
		s := sending(fmt.Sprint("resting ", i%3), 1)
		s.Deliveries[0].Due = now().Add(time.Hour)
		later = append(later, s)
	}
	f.insert(later...)
	f.crowd("well", 1)
	got = f.sendAs(store.DeliveryClaim{Limit: 1, Room: noRoom("dead", "dead too")})
	f.Equal([]string{"well"}, endpointsOf(got))

	f.crowd("well", 1)
	left := 800 - 4
	for left > 0 {
		got = f.send(100)
		f.NotEmpty(got)
		for _, name := range endpointsOf(got) {
			if name != "well" {
				left--
			}
		}
	}
	f.Empty(f.sendAs(store.DeliveryClaim{Limit: 10, After: "dead"}), "everything was taken once")
}

func endpointNames(f *fixture) {
	names := []string{"http://a", "http://a:80", "http://a\x00", "http://a/", "http", "", "\x00", "\xff", "http://\xff", "http://é"}
	for _, name := range names {
		f.crowd(name, 1)
	}
	for i, name := range names {
		others := slices.Delete(slices.Clone(names), i, i+1)
		got := f.sendAs(store.DeliveryClaim{Limit: 10, Room: noRoom(others...)})
		f.Equal([]string{name}, endpointsOf(got))
		f.Equal(name+"/hook", got[0].URL)
		f.settle(store.Delivered, got[0])
	}
	f.Empty(f.send(10))
}

// Below 0, PerEndpoint leaves only the endpoints that are named.
func endpointNamedAlone(f *fixture) {
	f.crowd("a", 3)
	f.crowd("b", 3)
	f.crowd("c", 3)
	claim := store.DeliveryClaim{Limit: 100, PerEndpoint: -1}
	f.Empty(f.sendAs(claim))
	claim.Room = map[string]int{"b": 2}
	f.Equal([]string{"b", "b"}, endpointsOf(f.sendAs(claim)))
	claim.Room = map[string]int{"b": 2, "c": 1}
	f.Equal([]string{"b", "c"}, endpointsOf(f.sendAs(claim)))
}

// The bodies of a claim have so many bytes together at most, or there is one.
func endpointBytes(f *fixture) {
	for _, size := range []int{1000, 400, 400, 400} {
		in := sending("endpoint", 1)
		in.Deliveries[0].Body = make([]byte, size)
		f.insert(in)
	}
	lengths := func(most int64) (n []int) {
		f.t.Helper()
		for _, d := range f.sendAs(store.DeliveryClaim{Limit: 10, Bytes: most}) {
			n = append(n, len(d.Body))
		}
		return n
	}
	f.Equal([]int{1000}, lengths(500), "one is always taken")
	f.Equal([]int{400, 400}, lengths(1000))
	f.Equal([]int{400}, lengths(0))
}
