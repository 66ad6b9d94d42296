package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/foreman-go/foreman/store"
)

func pauseRules() []rule {
	return []rule{
		{"OneLane", pauseOne},
		{"AllLanes", pauseAll},
		{"Apart", pauseApart},
		{"Twice", pauseTwice},
		{"LaneToCome", pauseToCome},
		{"Names", pauseNames},
		{"Limit", pauseLimit},
		{"WhatIsClaimedGoesOn", pauseWorking},
		{"AgainstClaims", pauseRace},
	}
}

func (f *fixture) pause(p store.Pause) {
	f.t.Helper()
	f.NoError(f.Pause(f.ctx, p))
}

func (f *fixture) resume(p store.Pause) {
	f.t.Helper()
	f.NoError(f.Resume(f.ctx, p))
}

// paused is what is paused, and what Lanes tells of it must agree.
func (f *fixture) paused() store.Pause {
	f.t.Helper()
	p, err := f.Paused(f.ctx)
	f.NoError(err)
	for name, l := range f.lanes() {
		f.Equal(p.All || slices.Contains(p.Lanes, name), l.Paused, "lane %q", name)
	}
	return p
}

func named(lanes ...string) store.Pause { return store.Pause{Lanes: lanes} }

var everything = store.Pause{All: true}

func pauseOne(f *fixture) {
	f.Equal(store.Pause{}, f.paused())
	a, b := f.add(queued("a")), f.add(queued("b"))
	f.pause(named("a"))
	f.Equal(named("a"), f.paused())
	f.Empty(f.claim("a", 10))
	f.Equal(ids(b), recordIDs(f.claim("b", 10)))
	f.Equal(map[string]int{"a": 1}, f.ready(), "it is still told of")
	f.Equal("0 ahead", f.position(a.ID))
	f.add(queued("a"))
	f.Equal(2, f.ready()["a"])
	f.resume(named("a"))
	f.Equal(store.Pause{}, f.paused())
	f.Len(f.claim("a", 10), 2)
}

func pauseAll(f *fixture) {
	f.add(queued("a"))
	f.add(queued(""))
	f.pause(everything)
	f.Equal(everything, f.paused())
	f.Empty(f.claim("a", 10))
	f.Empty(f.claim("", 10))
	f.add(queued("new"))
	f.Empty(f.claim("new", 10))
	f.paused()
	f.resume(everything)
	f.Equal(store.Pause{}, f.paused())
	for _, lane := range []string{"a", "", "new"} {
		f.Len(f.claim(lane, 10), 1)
	}
}

// All and the single lanes do not know of each other.
func pauseApart(f *fixture) {
	f.add(queued("a"))
	f.add(queued("b"))
	f.pause(store.Pause{All: true, Lanes: []string{"a"}})
	f.resume(everything)
	f.Equal(named("a"), f.paused())
	f.Empty(f.claim("a", 10))
	f.pause(everything)
	f.resume(named("a", "b"))
	f.Equal(everything, f.paused())
	f.Empty(f.claim("a", 10))
	f.resume(everything)
	f.Len(f.claim("a", 10), 1)
	f.Len(f.claim("b", 10), 1)
}

func pauseTwice(f *fixture) {
	for range 2 {
		f.pause(store.Pause{All: true, Lanes: []string{"b", "a", "b"}})
		f.Equal(store.Pause{All: true, Lanes: []string{"a", "b"}}, f.paused())
	}
	for range 2 {
		f.resume(store.Pause{All: true, Lanes: []string{"a", "c", "a"}})
		f.Equal(named("b"), f.paused())
	}
	f.pause(store.Pause{})
	f.resume(store.Pause{})
	f.Equal(named("b"), f.paused())
}

func pauseToCome(f *fixture) {
	f.pause(named("lane"))
	f.add(queued("lane"))
	f.Empty(f.claim("lane", 10))
	f.True(f.lanes()["lane"].Paused)
	f.resume(named("lane"))
	f.remove(recordHeads(f.claim("lane", 10))...)
	f.Empty(f.lanes())
}

func recordHeads(records []store.Record) []store.Head {
	var list []store.Head
	for _, r := range records {
		list = append(list, r.Head)
	}
	return list
}

func pauseNames(f *fixture) {
	lanes := []string{"", "\x00", "A", "a", "a\x00", "aa", "all", "\xff"}
	for _, lane := range lanes {
		f.add(queued(lane))
	}
	for _, lane := range lanes {
		f.pause(named(lane))
		f.Equal(named(lane), f.paused())
		f.Empty(f.claim(lane, 1), "%q", lane)
		f.resume(named(lane))
	}
	f.pause(named(lanes...))
	f.Equal(named(lanes...), f.paused())
	f.resume(named(lanes...))
	for _, lane := range lanes {
		f.Len(f.claim(lane, 10), 1)
	}
}

func pauseLimit(f *fixture) {
	var most []string
	for i := range store.MaxPaused {
		most = append(most, fmt.Sprintf("lane %04d", i))
	}
	f.pause(named(most[1:]...))
	for _, p := range []store.Pause{named("x", "y"), {All: true, Lanes: []string{"x", "y"}}} {
		f.ErrorIs(f.Pause(f.ctx, p), store.ErrFull)
		f.Equal(named(most[1:]...), f.paused(), "nothing changed")
	}
	f.pause(named(most[0], most[0]))
	f.Equal(named(most...), f.paused())
	f.pause(store.Pause{All: true, Lanes: most}) // none of them is new
	f.ErrorIs(f.Pause(f.ctx, named("x")), store.ErrFull)
	f.resume(named(most[7]))
	f.pause(named("x"))
}

func pauseWorking(f *fixture) {
	f.add(queued("lane"))
	f.add(queued("lane"))
	records := f.claim("lane", 2)
	f.pause(store.Pause{All: true, Lanes: []string{"lane"}})
	f.NoError(f.extend(records[0].Head, long).Err)
	f.apply(end(records[0].Head))
	f.apply(change(records[1].Head, store.Queued, 1))
	f.Empty(f.claim("lane", 10))
	f.resume(store.Pause{All: true, Lanes: []string{"lane"}})
	f.Equal(ids(records[1].Head), recordIDs(f.claim("lane", 10)))
}

// A claim that begins after Pause has returned finds nothing, and none that began before
// takes anything any more.
func pauseRace(f *fixture) {
	for _, p := range []store.Pause{everything, named("lane")} {
		var batch []store.Insertion
		for range 500 {
			batch = append(batch, insertion(queued("lane"), 0))
		}
		f.insert(batch...)
		var claimed, late atomic.Int64
		var paused atomic.Bool
		begun := make(chan struct{})
		some := sync.OnceFunc(func() { close(begun) })
		var errs [racers]error
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() {
				defer some()
				for after := 0; after < 3 && errs[i] == nil; {
					was := paused.Load()
					records, err := f.Claim(f.ctx, store.Claim{Worker: "w", Lane: "lane", Limit: 1, Lease: long}, begin)
					errs[i] = err
					if claimed.Add(int64(len(records))) >= 20 {
						some()
					}
					if was {
						late.Add(int64(len(records)))
						after++
					}
				}
			})
		}
		<-begun
		err := f.Pause(f.ctx, p)
		left := f.list(store.Query{State: store.Queued, Limit: 1000})
		paused.Store(true)
		all.Wait()
		f.NoError(err)
		for _, err := range errs {
			f.NoError(err)
		}
		f.Zero(late.Load(), "claims that began later")
		f.Equal(ids(left...), ids(f.list(store.Query{State: store.Queued, Limit: 1000})...), "nor any that began before")
		f.resume(p)
		f.remove(f.list(store.Query{Limit: 1000})...)
	}
}
