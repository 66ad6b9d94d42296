package foreman

import (
	"context"
	"math"
	"time"
)

// estimate is about how long something will have to wait, and how far that may be off
// either way.
type estimate struct {
	wait, margin time.Duration
}

// eta is about when the job at a position of a lane will start; ok is false as long as
// nobody can tell, since no job of the lane has ended or it is paused.
func (d *desk) eta(ctx context.Context, lane string, position int) (at time.Time, margin time.Duration, ok bool) {
	if err := d.read(ctx); err != nil {
		return at, 0, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused.has(lane) {
		return at, 0, false
	}
	d.seen = d.views(d.ready.lanes, true)
	e, ok := d.estimate(lane, position, false)
	if !ok {
		return at, 0, false
	}
	return d.f.now().Add(e.wait), e.margin, true
}

// estimate is for a job at a position of its lane, or a caller at one among those that
// wait. What is before it counts by what such has been taking; lanes that have waited
// for longer count too, where no slot serves this one. mu is held.
func (d *desk) estimate(lane string, position int, caller bool) (e estimate, ok bool) {
	p := d.paces.known(lane)
	if p.run.n == 0 {
		return e, false
	}
	before := float64(position)
	if l := d.view(lane); l != nil && !caller {
		before += float64(l.calls.n)
	}
	places, wait, dev := 0, math.Inf(1), 0.0
	first := p.run.mean // until the first that runs has ended
	for _, s := range d.slots {
		if s.lane != lane {
			continue
		}
		places += s.places
		before += float64(len(s.ahead) - (s.places - s.busy))
		first = math.Min(first, d.runLeft(s))
		if s.loading == nil {
			wait = 0
		} else if left, off := d.loadLeft(s); left < wait {
			wait, dev = left, off
		}
	}
	if places == 0 {
		if wait, dev, ok = d.untilServed(lane); !ok {
			return e, false
		}
		places = d.f.o.PerSlot
		before -= float64(places) // which will be free then
	}
	n := math.Max(before, 0) / float64(places)
	if before >= 1 {
		wait += first + (before-1)/float64(places)*p.run.mean
	}
	dev += math.Sqrt(math.Max(n, 1)) * p.run.dev
	return estimate{wait: asDuration(wait), margin: asDuration(dev)}, true
}

// maxConsidered bounds how many lanes an estimate looks at.
const maxConsidered = 100

// untilServed is about how long it takes until a slot has come to a lane, in seconds:
// until the first slot that can has finished what it is about, and that of the lanes
// that have waited for longer, and has loaded the model.
func (d *desk) untilServed(lane string) (wait, dev float64, ok bool) {
	l := d.view(lane)
	if l == nil {
		return 0, 0, false
	}
	least := math.Inf(1)
	for i, p := range d.f.pools {
		if !l.serves(i) {
			continue
		}
		for _, s := range p.slots {
			left := 0.0
			if !s.empty() {
				left = d.stay(s.lane, d.view(s.lane), l) - (d.paces.known(s.lane).run.mean - d.runLeft(s))
			}
			least = math.Min(least, math.Max(left, 0))
		}
	}
	if math.IsInf(least, 1) {
		return 0, 0, false
	}
	others := least
	for i := range d.seen[:min(len(d.seen), maxConsidered)] {
		o := &d.seen[i]
		if o.name != lane && !o.paused && !d.isServed(o.name) && o.since().Before(l.since()) {
			others += d.stay(o.name, o, l) + d.paces.known(o.name).load.mean
		}
	}
	load := d.paces.known(lane).load
	return load.mean + others, load.dev + others/2, true
}

// stay is about how long a slot will stay with a lane while another one waits, in
// seconds.
func (d *desk) stay(lane string, has, waits *laneView) float64 {
	n := 1.0
	if has != nil {
		n += float64(has.jobs.n + has.calls.n)
	}
	left := math.Max((waits.maxWait - d.f.now().Sub(waits.since())).Seconds(), 0)
	run := d.paces.known(lane).run.mean
	return math.Min(n*run, left+run)
}

// runLeft is about how long the first of those that run in a slot will go on, in seconds;
// as long as any, if none does.
func (d *desk) runLeft(s *slot) float64 {
	mean := d.paces.known(s.lane).run.mean
	left := mean
	for r := range s.runs {
		left = math.Min(left, math.Max(mean-d.f.now().Sub(r.since).Seconds(), 0))
	}
	return left
}

func (d *desk) loadLeft(s *slot) (left, dev float64) {
	load := d.paces.known(s.lane).load
	return math.Max(load.mean-d.f.now().Sub(s.loading.since).Seconds(), 0), load.dev
}

func (d *desk) isServed(lane string) bool {
	for _, s := range d.slots {
		if s.lane == lane && !s.empty() {
			return true
		}
	}
	return false
}

// view is a lane as it was when last looked at, or nil.
func (d *desk) view(lane string) *laneView {
	for i := range d.seen {
		if d.seen[i].name == lane {
			return &d.seen[i]
		}
	}
	return nil
}

// asDuration is a number of seconds, of a day at most.
func asDuration(s float64) time.Duration {
	return time.Duration(math.Min(s, 86400) * float64(time.Second))
}
