package foreman

import "time"

// waiting is what waits of one kind in a lane: jobs, or callers of Do.
type waiting struct {
	n        int
	priority int       // the highest
	since    time.Time // since when the longest has had to wait
}

// laneView is a lane that has work, as the scheduler sees it.
type laneView struct {
	name    string
	model   string
	paused  bool // nothing of it may begin
	jobs    waiting
	calls   waiting
	serves  func(pool int) bool // whether a pool serves it
	slots   int                 // how many may serve it at once
	places  func(pool int) int  // how many may run at once in a slot
	maxWait time.Duration
	// patience is how long it waits for the slots that serve it, before one more has its
	// model loaded in place of another: about as long as that takes.
	patience time.Duration
}

// since is since when the longest has had to wait.
func (l *laneView) since() time.Time { return earlier(l.jobs.since, l.calls.since) }

// slotView is a slot, as the scheduler sees it.
type slotView struct {
	pool int
	down bool   // its backend is out of reach: only callers of Do may ask it
	lane string // that it serves
	busy bool   // something runs there, or is about to
	room int    // how many more may run there at once
	// model is what a lane has loaded there; nil where that is the lane.
	model func(lane string) string
	// Nothing has begun since it has come to its lane: it stays, however long others have
	// waited, so that no model is loaded for nothing.
	fresh bool
	used  time.Time // last
}

// demand is what a lane asks of one slot.
type demand struct {
	lane     *laneView
	priority int
	calls    bool // callers of Do wait at that priority
	since    time.Time
	served   int // how many other slots serve the lane
	room     int // how many more of it can run there
	overdue  bool
}

// plan says which lane each slot is to serve, and "" where it has nothing to do. A slot
// stays with its lane while that has work, so that a loaded model is used, unless work
// elsewhere has a higher priority, or a lane that nobody serves has waited longer than
// it may. A busy slot that is to serve another lane has to finish first.
//
// No model is loaded twice in a pool, neither for one lane nor for two. No slot is free
// while there is work that it may do, but for work that others have room for already, and
// work that another slot is at and that would cost this one what it has loaded: that waits
// for the other one as long as a load takes. Otherwise two servers would put out each
// other's models, for work that each of them does in less time.
func plan(now time.Time, slots []slotView, lanes []laneView) []string {
	p := planner{now: now, slots: slots, lanes: lanes, out: make([]string, len(slots)), held: make([]bool, len(slots))}
	// Whoever has work where it is keeps it, for now.
	for i := range slots {
		d, ok := p.asked(i, slots[i].lane)
		if !ok {
			continue
		}
		if _, _, ok = p.served(i, d.lane); ok {
			p.take(i, slots[i].lane)
		}
	}
	// Each change can leave a lane to others. It is for a higher priority, or from the
	// lane that a slot came with, so that there is an end to it.
	for changed := true; changed; {
		changed = p.fill()
		for i := range slots {
			if best, ok := p.best(i); ok && p.better(i, &best) {
				p.take(i, best.lane.name)
				changed = true
			}
		}
	}
	return p.out
}

// planner is a plan in the making.
type planner struct {
	now   time.Time
	slots []slotView
	lanes []laneView
	out   []string
	held  []bool // whether a slot has a lane in out
}

func (p *planner) take(i int, lane string) { p.out[i], p.held[i] = lane, true }

// fill gives the free slots what is left: first to those with nothing loaded, then to
// those whose model has been of no use for the longest.
func (p *planner) fill() (changed bool) {
	for _, i := range p.free() {
		if p.held[i] {
			continue
		}
		if best, ok := p.best(i); ok {
			p.take(p.home(i, best.lane), best.lane.name)
			changed = true
		}
	}
	return changed
}

// better reports whether a slot is to leave what it has for something else.
func (p *planner) better(i int, best *demand) bool {
	if !p.held[i] {
		return true // what still runs there is the last
	}
	has, _ := p.asked(i, p.out[i])
	return best.priority > has.priority ||
		p.out[i] == p.slots[i].lane && !p.slots[i].fresh &&
			best.priority == has.priority && best.overdue && best.served == 0
}

// served counts the other slots that are to serve a lane, and how many more can run there.
// ok is false if this one must not: one of its pool does, or as many as may.
func (p *planner) served(i int, l *laneView) (n, room int, ok bool) {
	for o := range p.slots {
		if o == i {
			continue
		}
		s := &p.slots[o]
		near := s.pool == p.slots[i].pool
		// What is still running in a slot is loaded there.
		for _, lane := range [...]struct {
			name string
			ok   bool
		}{{p.out[o], p.held[o]}, {s.lane, s.busy && (!p.held[o] || p.out[o] != s.lane)}} {
			switch {
			case !lane.ok:
			case near && s.loads(lane.name) == s.loads(l.name):
				return n, room, false
			case lane.name == l.name:
				n++
				room += p.room(o, l)
			}
		}
	}
	return n, room, l.slots <= 0 || n < l.slots
}

// room is how many more of a lane can run in a slot that is to serve it.
func (p *planner) room(o int, l *laneView) int {
	s := &p.slots[o]
	switch {
	case s.down || !p.held[o] || p.out[o] != l.name:
		return 0 // jobs cannot, or it is to go elsewhere
	case s.lane == l.name:
		return s.room
	case s.busy:
		return 0 // it has to finish first
	}
	return l.places(s.pool)
}

// loads is what a lane has loaded in the pool of a slot.
func (s *slotView) loads(lane string) string {
	if s.model == nil {
		return lane
	}
	return s.model(lane)
}

// home is the free slot of the pool of i that has the model of a lane loaded, though
// for another lane, and can serve it: i if there is none.
func (p *planner) home(i int, l *laneView) int {
	for o := range p.slots {
		s := &p.slots[o]
		if s.pool != p.slots[i].pool || p.held[o] || s.busy || s.lane == "" || s.loads(s.lane) != s.loads(l.name) {
			continue
		}
		if _, ok := p.demand(o, l); ok {
			return o
		}
	}
	return i
}

// spares reports whether the lane does not need a slot, for now: others serve it and have
// room, or the slot is free and would lose what it has loaded.
func (p *planner) spares(i int, d *demand) bool {
	s := &p.slots[i]
	switch {
	case d.served == 0:
		return false
	case d.lane.jobs.n+d.lane.calls.n <= d.room:
		return true
	}
	return !p.held[i] && s.model != nil && s.lane != "" && s.lane != d.lane.name && p.now.Sub(d.since) < d.lane.patience
}

// asked is what a lane asks of a slot.
func (p *planner) asked(i int, lane string) (demand, bool) {
	for k := range p.lanes {
		if p.lanes[k].name == lane {
			return p.demand(i, &p.lanes[k])
		}
	}
	return demand{}, false
}

// free lists the slots that have nothing to do, in the order in which they take work.
func (p *planner) free() []int {
	var out []int
	for i := range p.slots {
		if p.held[i] || p.slots[i].busy {
			continue
		}
		at := len(out)
		for at > 0 && p.idler(i, out[at-1]) {
			at--
		}
		out = append(out, 0)
		copy(out[at+1:], out[at:])
		out[at] = i
	}
	return out
}

func (p *planner) idler(i, o int) bool {
	a, b := p.slots[i], p.slots[o]
	if (a.lane == "") != (b.lane == "") {
		return a.lane == ""
	}
	return a.used.Before(b.used)
}

// best is the first of the lanes that a slot could serve and does not.
func (p *planner) best(i int) (best demand, ok bool) {
	for k := range p.lanes {
		l := &p.lanes[k]
		if p.held[i] && p.out[i] == l.name || !p.held[i] && p.slots[i].busy && p.slots[i].lane == l.name {
			continue
		}
		d, has := p.demand(i, l)
		if !has {
			continue
		}
		if d.served, d.room, has = p.served(i, l); !has || p.spares(i, &d) {
			continue
		}
		if !ok || d.before(&best) {
			best, ok = d, true
		}
	}
	return best, ok
}

// demand is what a lane asks of a slot, if it asks anything of it.
func (p *planner) demand(i int, l *laneView) (d demand, ok bool) {
	s := &p.slots[i]
	if !l.serves(s.pool) {
		return d, false
	}
	d = demand{lane: l, priority: l.calls.priority, since: l.calls.since, calls: true}
	switch jobs := l.jobs.n > 0 && !s.down; {
	case l.calls.n == 0 && !jobs:
		return d, false
	case l.calls.n == 0:
		d = demand{lane: l, priority: l.jobs.priority, since: l.jobs.since}
	case jobs:
		if l.jobs.priority > d.priority {
			d.priority, d.calls = l.jobs.priority, false
		}
		d.since = earlier(d.since, l.jobs.since)
	}
	d.overdue = p.now.Sub(d.since) > l.maxWait
	return d, true
}

// before orders lanes by what a slot takes first.
func (d *demand) before(o *demand) bool {
	switch {
	case d.priority != o.priority:
		return d.priority > o.priority
	case d.overdue != o.overdue:
		return d.overdue
	case (d.served == 0) != (o.served == 0):
		return d.served == 0
	case d.calls != o.calls:
		return d.calls
	case !d.since.Equal(o.since):
		return d.since.Before(o.since)
	}
	return d.lane.name < o.lane.name
}
