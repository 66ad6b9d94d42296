package foreman

import "time"

// Limits are those of one model, in place of those of all. A field that is 0 does not
// restrict, or is as for all.
type Limits struct {
	// Slots is in how many slots the model can be served at once: at most in one of
	// each [Pool].
	Slots int
	// PerSlot is in place of that of the pool.
	PerSlot int
	// MaxWait is in place of [Options].MaxWait for the lanes of the model.
	MaxWait time.Duration
}

// limits are those of a lane. A model that its backend knows by several names has those
// of any of them.
func (f *Foreman) limits(lane, model string) Limits {
	if len(f.o.Models) == 0 {
		return Limits{}
	}
	return f.byModel[f.modelName(lane, model)]
}

// modelName is the model of a lane as its backend calls it.
func (f *Foreman) modelName(lane, model string) string {
	if p := f.poolOf(model); p != nil {
		if l, ok := p.Backend.(Loader); ok {
			return l.Model(lane)
		}
	}
	return model
}

// limitModels finds out whose limits are whose.
func (f *Foreman) limitModels() {
	f.byModel = make(map[string]Limits, len(f.o.Models))
	for model, l := range f.o.Models {
		name := model
		if lane, err := f.lane(&Spec{Model: model}); err == nil {
			name = f.modelName(lane, model)
		}
		f.byModel[name] = l
	}
}

// limit applies limits to a lane.
func (l *laneView) limit(f *Foreman, m Limits) {
	l.slots, l.maxWait = m.Slots, or(m.MaxWait, f.o.MaxWait)
	l.places = func(p int) int { return max(or(m.PerSlot, f.pools[p].PerSlot), 1) }
}

// mostPerSlot is how many can ever run at once in a slot of a pool, whatever model it
// serves one day.
func (f *Foreman) mostPerSlot(p *pool) int {
	most := p.PerSlot
	for _, l := range f.o.Models {
		most = max(most, l.PerSlot)
	}
	return most
}
