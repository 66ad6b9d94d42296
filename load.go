package foreman

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Loader is implemented by a [Backend] whose models have to be loaded before they can
// be used, and that wants to do it before a job or a caller is begun.
type Loader interface {
	// Load makes the model of a lane ready in place of others: keep lists the lanes that
	// other slots of the backend hold, and whatever else is loaded may be unloaded.
	// Nothing runs in the slot meanwhile. ctx ends when nobody waits for the lane any
	// more, when others have waited for [Options].MaxWait while it loads, and when
	// [Foreman.Run] has to end. After an error, or a panic, the lane is served all the
	// same, so that those who wait hear what is wrong from the backend itself; one that
	// is [Unavailable] has the backend looked after as after an attempt, and the model
	// loaded again before others of the lane begin.
	//
	// It is called when a slot goes to another lane, and again for the same one when the slot
	// has done nothing for ten seconds and has work: what was loaded may have been unloaded
	// meanwhile. Where it is still loaded, Load is to be quick.
	Load(ctx context.Context, lane string, keep []string) error
	// Loaded lists the lanes whose models are loaded, so that work for them comes
	// first. It is asked when Run begins, and given five seconds.
	Loaded(ctx context.Context) ([]string, error)
	// Model is the model that is loaded for a lane. The backend has room for it once, so
	// that no two of its slots serve lanes of one model at a time. It must be quick and
	// always say the same.
	Model(lane string) string
}

// loading is a model being loaded into a slot.
type loading struct {
	cancel context.CancelFunc
	since  time.Time
	again  bool // it may be loaded still
}

// load has a slot's lane loaded, if its backend is a Loader. d.mu is held.
func (d *desk) load(s *slot) {
	l, ok := s.pool.Backend.(Loader)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(d.loadCtx)
	s.loading = &loading{cancel: cancel, since: d.f.now(), again: s.forgot(d.f.now())}
	lane := s.lane
	var keep []string
	for _, o := range s.pool.slots {
		switch {
		case o == s || o.lane == "":
		case l.Model(o.lane) == l.Model(lane):
			o.lane = "" // it is loaded anew, for this slot; nothing runs there
		default:
			keep = append(keep, o.lane)
		}
	}
	d.loads.Go(func() {
		defer cancel()
		err := loadSafely(ctx, l, lane, keep)
		d.loaded(s, ctx.Err() != nil, err)
	})
}

// loadSafely makes a panic of Load an error.
func loadSafely(ctx context.Context, l Loader, lane string, keep []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return l.Load(ctx, lane, keep)
}

// loaded notes how a load has ended.
func (d *desk) loaded(s *slot, calledOff bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.replan()
	took, again := d.f.now().Sub(s.loading.since), s.loading.again
	lane := s.lane
	s.loading, s.doubtful = nil, false
	s.used = d.f.now()
	switch {
	case calledOff:
		s.lane = "" // nobody knows how far it came
	case err != nil:
		d.f.o.Logger.Warn("a model could not be loaded; whoever waits for it will hear why", "pool", s.pool.Name, "lane", lane, "error", err)
		if f, ok := errors.AsType[*Failure](err); ok && f.Type == BackendUnavailable {
			s.doubtful = true
			d.f.backendDown(s.pool, err)
		}
	case !again: // what was loaded still says nothing of how long a load takes
		d.paces.loaded(lane, took)
	}
}

// findLoaded lets the slots of each pool begin with what is loaded there.
func (d *desk) findLoaded(ctx context.Context) {
	for _, p := range d.f.pools {
		l, ok := p.Backend.(Loader)
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, lastCheck)
		lanes, err := l.Loaded(ctx)
		cancel()
		if f, ok := errors.AsType[*Failure](err); ok && f.Type == BackendUnavailable {
			continue // as the check of the backend finds too, and says
		}
		if err != nil {
			d.f.o.Logger.Warn("what is loaded cannot be found out", "pool", p.Name, "error", err)
			continue
		}
		d.mu.Lock()
		for _, s := range p.slots {
			if !s.empty() || slices.Contains(lanes, s.lane) {
				continue
			}
			s.lane = ""
		}
		for _, lane := range lanes {
			held := slices.ContainsFunc(p.slots, func(s *slot) bool { return s.lane == lane })
			i := slices.IndexFunc(p.slots, func(s *slot) bool { return s.lane == "" && s.empty() })
			if !held && i >= 0 {
				p.slots[i].lane, p.slots[i].used = lane, d.f.now()
			}
		}
		d.mu.Unlock()
	}
}
