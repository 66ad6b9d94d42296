// Package storetest proves that an implementation of [store.Store] keeps the
// contract of package store: the rules of each method, races between callers,
// late results, reopening, and the death of the process in the middle of a
// write.
//
// A test of a store is one call:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			New: func(tb testing.TB) string {
//				return filepath.Join(tb.TempDir(), "jobs.db")
//			},
//			Open: func(place string) (store.Store, error) {
//				return mystore.Open(place)
//			},
//		})
//	}
//
// The suite uses real time with short leases, and waits for conditions, never
// for a fixed while. It takes the store's clock to be within a second of the
// clock of the test.
//
// Two environment variables make it work harder:
//
//   - FOREMAN_STORETEST_ROUNDS is how often [Kill] kills its writer; default 5.
//   - FOREMAN_STORETEST_SEED repeats the random sequence of operations that a
//     failure of Model reported; default a new one each time.
package storetest

import (
	"testing"

	"github.com/foreman-go/foreman/store"
)

// Harness tells the suite how to make a store.
type Harness struct {
	// New returns the name of a new, empty place: a path, a data source name.
	// It registers with tb what has to be cleaned up; by then the suite has
	// closed its store. Required.
	New func(tb testing.TB) string

	// Open opens the store at a place that New named. The suite closes it, and
	// may then open the place again; twice at once only if Shared is set. It is
	// also called in a second process that [Kill] starts. Required.
	Open func(place string) (store.Store, error)

	// Volatile says that nothing survives Close, as in a store that lives in
	// memory. What needs a second Open is then left out: the group Reopen and
	// [Kill]. Default: false.
	Volatile bool

	// Shared says that a place can be open more than once at a time, in one process
	// or in several, which then share what is there. The groups Shared, SharedRace and
	// Office are for these stores, which are a [store.Shared], and for no others.
	// Default: false.
	Shared bool

	// Settled waits until what a killed process had sent on its way to the place has
	// happened or never will: its server may still be at it. If Settled is nil, that
	// is so when the process is dead.
	Settled func(tb testing.TB, place string)
}

// group is the rules of one topic. Each rule gets a store of its own.
type group struct {
	name  string
	rules []rule
}

type rule struct {
	name string
	test func(*fixture)
}

// Run proves every rule of the contract, each as a subtest Group/Rule with an
// empty store of its own. The groups Move, Messenger and Identity are for a store that is a
// [store.Mover], a [store.Messenger] or [store.Identified]. It ends with [Kill], which see.
func Run(t *testing.T, h Harness) {
	becomeWriter(h)
	groups := []group{
		{"Insert", insertRules()},
		{"Idempotency", idempotencyRules()},
		{"Apply", applyRules()},
		{"Delete", deleteRules()},
		{"List", listRules()},
		{"Events", eventRules()},
		{"Claim", claimRules()},
		{"Lease", leaseRules()},
		{"Turns", turnRules()},
		{"Lanes", laneRules()},
		{"Pause", pauseRules()},
		{"Clock", clockRules()},
		{"Outbox", outboxRules()},
		{"Settle", settleRules()},
		{"Stop", stopRules()},
		{"Redeliver", redeliverRules()},
		{"Backlog", backlogRules()},
		{"Endpoints", endpointRules()},
		{"Bytes", byteRules()},
		{"Race", raceRules()},
		{"Calls", callRules()},
		{"Model", modelRules()},
	}
	isMover, isMessenger, isIdentified := false, false, false
	t.Run("Open", func(t *testing.T) {
		f := newFixture(t, h)
		_, isMover = f.Store.(store.Mover)
		_, isMessenger = f.Store.(store.Messenger)
		_, isIdentified = f.Store.(store.Identified)
	})
	if isMover {
		groups = append(groups, group{"Move", moveRules()})
	}
	if !h.Volatile {
		groups = append(groups, group{"Reopen", reopenRules()})
	}
	if h.Shared {
		groups = append(groups, group{"Shared", sharedRules()}, group{"SharedRace", besides(raceRules())}, group{"Office", officeRules()})
	}
	if isMessenger {
		groups = append(groups, group{"Messenger", messengerRules()})
	}
	if isIdentified {
		groups = append(groups, group{"Identity", identityRules()})
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, r := range g.rules {
				t.Run(r.name, func(t *testing.T) { r.test(newFixture(t, h)) })
			}
		})
	}
	if !h.Volatile {
		t.Run("Kill", func(t *testing.T) { Kill(t, h) })
	}
}
