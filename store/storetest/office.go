package storetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/foreman-go/foreman/store"
)

// officeRules are those of a [store.Shared], beside being shared.
func officeRules() []rule {
	return []rule{
		{"Now", sharedNow},
		{"Hold", sharedHold},
		{"HoldAtOnce", sharedHoldAtOnce},
	}
}

// shared is the store of a fixture as one that is shared.
func (f *fixture) shared() store.Shared {
	f.t.Helper()
	s, ok := f.Store.(store.Shared)
	f.True(ok, "a store whose place can be open more than once is a store.Shared")
	return s
}

// The suite takes the store's clock to be within a second of its own.
func sharedNow(f *fixture) {
	last := time.Time{}
	for range 10 {
		f.add(queued("lane"))
		t := f.shared().Now()
		f.WithinDuration(time.Now(), t, time.Second)
		f.False(t.Before(last))
		f.Equal(time.UTC, t.Location())
		last = t
	}
	f.WithinDuration(f.another().shared().Now(), f.shared().Now(), time.Second)
}

func (f *fixture) hold(office, holder string, lease time.Duration) bool {
	f.t.Helper()
	ok, err := f.shared().Hold(f.ctx, office, holder, lease)
	f.NoError(err)
	return ok
}

func sharedHold(f *fixture) {
	g := f.another()
	f.True(f.hold("a", "ann", long))
	f.False(g.hold("a", "bob", long))
	f.True(g.hold("b", "bob", long), "another office")
	f.True(f.hold("a", "ann", brief), "whoever has it keeps it")
	f.eventually(func() bool { return g.hold("a", "bob", long) }, "the lease to run out")
	f.False(f.hold("a", "ann", long))
	f.True(g.hold("a", "bob", 0), "and gives it up with a lease of nothing")
	f.True(f.hold("a", "ann", long))
	f.False(g.hold("a", "bob", 0))
	f.True(f.hold("c", "ann", 0), "nobody has it, and nobody has it after that")
	f.True(g.hold("c", "bob", long))
	for _, name := range []string{"", strings.Repeat("x", 129)} {
		_, err := f.shared().Hold(f.ctx, name, "ann", long)
		f.ErrorIs(err, store.ErrInvalid)
		_, err = f.shared().Hold(f.ctx, "a", name, long)
		f.ErrorIs(err, store.ErrInvalid)
	}
}

func sharedHoldAtOnce(f *fixture) {
	g := f.another()
	for n := range 20 {
		var have atomic.Int64
		together(racers, func(i int) {
			ok, err := []*fixture{f, g}[i%2].shared().Hold(f.ctx, fmt.Sprint(n), fmt.Sprint(i), long)
			if err == nil && ok {
				have.Add(1)
			}
		})
		f.EqualValues(1, have.Load())
	}
}
