package blobstore

import (
	"context"
	"sync"

	"github.com/foreman-go/foreman/artifact"
)

// claim is one claim of a job; see [artifact.Key].
type claim struct {
	job string
	run uint64
}

func claimOf(k artifact.Key) claim { return claim{job: k.Job, run: k.Run} }

// guard keeps the sweeps of this process away from its Puts, and the other way
// round: the removal of an object takes a while, and a Put that begins meanwhile
// must not lose what it puts. Those of other processes it does not know: they have
// the age that a sweep asks for.
type guard struct {
	mu     sync.Mutex
	claims map[claim]*activity // those with something going on
}

// activity is what goes on with the artifacts of one claim.
type activity struct {
	puts     int           // under way
	sweeps   int           // asking about it
	begun    uint64        // Puts, since there is something going on
	removing chan struct{} // closed when the removal that is under way is over
}

// begin says that a Put for a claim begins. While artifacts of the claim are being
// removed, it waits, until ctx ends at the latest.
func (g *guard) begin(ctx context.Context, c claim) error {
	for {
		g.mu.Lock()
		a := g.get(c)
		wait := a.removing
		if wait == nil {
			a.puts++
			a.begun++
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end says that the Put is over.
func (g *guard) end(c claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims[c].puts--
	g.forget(c)
}

// watch begins to look out for Puts for a claim. It reports false if there is one
// already; otherwise the caller has to call unwatch.
func (g *guard) watch(c claim) (since uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.claims[c]; a != nil && a.puts > 0 {
		return 0, false
	}
	a := g.get(c)
	a.sweeps++
	return a.begun, true
}

func (g *guard) unwatch(c claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims[c].sweeps--
	g.forget(c)
}

// undisturbed calls do, unless a Put for the claim has begun since watch, or
// another sweep is at it. None begins before do has returned.
func (g *guard) undisturbed(c claim, since uint64, do func()) {
	g.mu.Lock()
	a := g.claims[c]
	if a.begun != since || a.removing != nil {
		g.mu.Unlock()
		return
	}
	done := make(chan struct{})
	a.removing = done
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		a.removing = nil
		g.mu.Unlock()
		close(done)
	}()
	do()
}

// get returns the activity of a claim, with g.mu held.
func (g *guard) get(c claim) *activity {
	a := g.claims[c]
	if a == nil {
		a = &activity{}
		g.claims[c] = a
	}
	return a
}

// forget drops the activity of a claim if nothing goes on, with g.mu held.
func (g *guard) forget(c claim) {
	if a := g.claims[c]; a.puts == 0 && a.sweeps == 0 {
		delete(g.claims, c)
	}
}
