package foreman

import (
	"math"
	"time"
)

// paces is how long the jobs of each lane have been running, and its model loading.
type paces struct {
	lanes map[string]*pace
}

// maxPaces bounds how many lanes are remembered.
const maxPaces = 1024

type pace struct {
	run, load average
	used      time.Time
}

// unknownLoad is how long a model takes to load, as long as none of its lane has been.
const unknownLoad = 5 * time.Second

// patience is about how long it takes to load the model.
func (p pace) patience() time.Duration {
	if p.load.n == 0 {
		return unknownLoad
	}
	return asDuration(p.load.mean)
}

// average follows a value that changes over time, and how far from it single ones are.
type average struct {
	n         int
	mean, dev float64 // seconds
}

func (a *average) add(d time.Duration) {
	v := d.Seconds()
	if a.n++; a.n == 1 {
		a.mean, a.dev = v, v/2
		return
	}
	weight := 1 / math.Min(float64(a.n), 8)
	a.dev += (math.Abs(v-a.mean) - a.dev) * weight
	a.mean += (v - a.mean) * weight
}

// known is what is known of a lane.
func (p *paces) known(lane string) pace {
	if x := p.lanes[lane]; x != nil {
		return *x
	}
	return pace{}
}

func (p *paces) of(lane string) *pace {
	if p.lanes == nil {
		p.lanes = map[string]*pace{}
	}
	x := p.lanes[lane]
	if x == nil {
		if len(p.lanes) >= maxPaces {
			p.forget()
		}
		x = &pace{}
		p.lanes[lane] = x
	}
	x.used = time.Now()
	return x
}

// forget drops the lane that has been of no use for the longest.
func (p *paces) forget() {
	oldest := ""
	for lane, x := range p.lanes {
		if o := p.lanes[oldest]; o == nil || x.used.Before(o.used) {
			oldest = lane
		}
	}
	delete(p.lanes, oldest)
}

func (p *paces) ran(lane string, d time.Duration)    { p.of(lane).run.add(d) }
func (p *paces) loaded(lane string, d time.Duration) { p.of(lane).load.add(d) }
