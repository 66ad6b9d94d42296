package ollamatest

import (
	"slices"
	"time"
)

const standardKeepAlive = 5 * time.Minute

// wanted is what a request needs to be loaded.
type wanted struct {
	model string // with its tag
	settings
}

// runner is a loaded model. mu of the scheduler guards what changes.
type runner struct {
	wanted
	places    chan struct{}
	dead      chan struct{} // closed when its process has died
	users     int           // requests that hold it, or wait for a place
	keepAlive time.Duration
	expires   time.Time // when it is unloaded, if nobody uses it
	lists     int       // calls of /api/ps that still list it, once it is unloaded
}

// serves reports whether the runner can answer a request without being loaded anew.
func (r *runner) serves(w wanted) bool {
	return r.model == w.model && r.suits(w.settings)
}

// add loads a model. mu is held.
func (s *scheduler) add(w wanted) {
	s.loaded = append(s.loaded, &runner{
		wanted: w,
		places: make(chan struct{}, s.places), dead: make(chan struct{}),
		keepAlive: standardKeepAlive, expires: s.now().Add(standardKeepAlive),
	})
	s.gone = nil
	s.changed(func(c *Stats) {
		c.Loads++
		c.count(w.model, func(m *ModelStats) { m.Loads++ })
	})
}

// remove unloads a model. mu is held.
func (s *scheduler) remove(r *runner) {
	s.loaded = slices.DeleteFunc(s.loaded, func(e *runner) bool { return e == r })
	s.changed(func(c *Stats) {
		c.Unloads++
		c.count(r.model, func(m *ModelStats) { m.Unloads++ })
	})
}

// reap unloads what is not to be kept longer. mu is held.
func (s *scheduler) reap() {
	for _, r := range slices.Clone(s.loaded) {
		if r.users == 0 && !s.now().Before(r.expires) {
			s.remove(r)
			if r.lists = s.lingers; r.lists > 0 {
				s.gone = append(s.gone, r)
			}
		}
	}
}

// unload unloads a model, once nobody uses it.
func (s *scheduler) unload(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.loaded {
		if r.model == model {
			r.keepAlive, r.expires = 0, s.now()
		}
	}
	s.reap()
	s.wake()
}

// die loses a model, as when its process is killed: whoever waits for a place is
// told.
func (s *scheduler) die(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.loaded, r) {
		return
	}
	s.remove(r)
	close(r.dead)
	s.wake()
}

// status is what is loaded, or has been until a moment ago, as it is now.
func (s *scheduler) status() []runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap()
	var out []runner
	for _, r := range s.loaded {
		out = append(out, *r)
		if r.users > 0 {
			out[len(out)-1].expires = s.now().Add(r.keepAlive)
		}
	}
	for _, r := range s.gone {
		out = append(out, *r)
		r.lists--
	}
	s.gone = slices.DeleteFunc(s.gone, func(r *runner) bool { return r.lists == 0 })
	return out
}
