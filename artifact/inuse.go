package artifact

import "sync"

// inUse knows what the Puts of this process are at, so that a sweep keeps its
// hands off it.
type inUse struct {
	mu     sync.Mutex
	temps  map[string]bool     // the temporary files of Puts under way
	claims map[claim]*activity // those with a Put under way, or a sweep asking about them
}

// activity is what goes on with the artifacts of one claim.
type activity struct {
	puts   int    // under way
	sweeps int    // asking about it
	begun  uint64 // Puts, since there is something going on
}

// begin says that a Put for a claim begins, with a temporary file of this name.
func (u *inUse) begin(c claim, temp string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.temps[temp] = true
	a := u.get(c)
	a.puts++
	a.begun++
}

// end says that the Put is over, and its temporary file gone.
func (u *inUse) end(c claim, temp string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.temps, temp)
	u.claims[c].puts--
	u.forget(c)
}

// watch begins to look out for Puts for a claim. It reports false if there is
// one already; otherwise the caller has to call unwatch.
func (u *inUse) watch(c claim) (since uint64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a := u.claims[c]; a != nil && a.puts > 0 {
		return 0, false
	}
	a := u.get(c)
	a.sweeps++
	return a.begun, true
}

func (u *inUse) unwatch(c claim) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.claims[c].sweeps--
	u.forget(c)
}

// undisturbed calls do if no Put for the claim has begun since watch, and
// reports whether it did. None begins meanwhile, for any claim, so do must be
// quick.
func (u *inUse) undisturbed(c claim, since uint64, do func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.claims[c].begun != since {
		return false
	}
	do()
	return true
}

// unused calls do if no Put has the temporary file of this name.
func (u *inUse) unused(temp string, do func()) {
	u.mu.Lock()
	used := u.temps[temp]
	u.mu.Unlock()
	if !used { // nor will it be: names are not used twice
		do()
	}
}

// get returns the activity of a claim, with u.mu held.
func (u *inUse) get(c claim) *activity {
	a := u.claims[c]
	if a == nil {
		a = &activity{}
		u.claims[c] = a
	}
	return a
}

// forget drops the activity of a claim if nothing goes on, with u.mu held.
func (u *inUse) forget(c claim) {
	if a := u.claims[c]; a.puts == 0 && a.sweeps == 0 {
		delete(u.claims, c)
	}
}
