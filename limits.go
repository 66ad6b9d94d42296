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

func (f *Foreman) maxWait(model string) time.Duration {
	return or(f.o.Models[model].MaxWait, f.o.MaxWait)
}

func (f *Foreman) perSlot(p *pool, model string) int {
	return max(or(f.o.Models[model].PerSlot, p.PerSlot), 1)
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
