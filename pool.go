package foreman

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/foreman-go/foreman/store"
)

// Pool is a part of a backend with slots of its own: a model server, a GPU, a kind of
// program.
type Pool struct {
	// Name is shown in [Foreman.Queue]; of at most 128 bytes, and no other pool's.
	Name string
	// Backend runs what is served here. It is required.
	Backend Backend
	// Serves says which models are served here. It is called while others wait: it must
	// be quick, and ask nobody. It must always say the same, unless the Backend is a
	// [Follower]. If Serves is nil, every model is.
	Serves func(model string) bool
	// Slots and PerSlot are as in [Options]. If one is 0, that of Options is used.
	Slots, PerSlot int
}

func (p *Pool) serves(model string) bool { return p.Serves == nil || p.Serves(model) }

// Pools is a [Backend] of several parts, each with slots of its own. A model that more
// than one serves runs wherever a slot is free, first of all where it is loaded; their
// backends must agree on its lane. A model that none serves is [ErrInvalid] to submit.
type Pools []Pool

// Run runs an attempt on the first pool that serves its model. A [Foreman] does not
// call it: it runs each attempt on the pool in whose slot it is.
func (p Pools) Run(ctx context.Context, t *Task) error {
	for i := range p {
		if p[i].serves(t.Spec.Model) {
			return p[i].Backend.Run(ctx, t)
		}
	}
	return Permanent(errNoPool(t.Spec.Model))
}

// maxLane bounds the name of a lane in bytes.
const maxLane = 1024

func errNoPool(model string) error {
	return fmt.Errorf("%w: nothing here serves model %q", ErrInvalid, clip(model, 128))
}

// pool is a Pool at work.
type pool struct {
	Pool
	slots  []*slot
	shared bool          // other processes may have what this one has not
	down   atomic.Bool   // the backend is out of reach
	lost   chan struct{} // holds at most one token: an attempt could not reach it
}

// has reports whether jobs of a model that is served here can be run here. What the
// backend has not may be had by that of another process.
func (p *pool) has(model string) bool {
	b, ok := p.Backend.(Follower)
	return !p.shared || !ok || b.Has(model)
}

// newPools are the pools of a backend, filled from the options.
func newPools(b Backend, o *Options) ([]*pool, error) {
	list, ok := b.(Pools)
	if !ok {
		list = Pools{{Name: "default", Backend: b}}
	}
	if len(list) == 0 {
		return nil, errors.New("a backend of no pools")
	}
	_, shared := o.Store.(store.Shared)
	names := map[string]bool{}
	var out []*pool
	for _, p := range list {
		switch {
		case p.Backend == nil:
			return nil, fmt.Errorf("pool %q has no backend", p.Name)
		case p.Name == "" || len(p.Name) > 128:
			return nil, fmt.Errorf("pool %q must have a name of 1 to 128 bytes", clip(p.Name, 128))
		case names[p.Name]:
			return nil, fmt.Errorf("there are two pools of the name %q", p.Name)
		}
		names[p.Name] = true
		p.Slots, p.PerSlot = max(or(p.Slots, o.Slots), 1), max(or(p.PerSlot, o.PerSlot), 1)
		out = append(out, &pool{Pool: p, shared: shared, lost: make(chan struct{}, 1)})
	}
	return out, nil
}

// Pools are the parts of the backend: those that it was given, with the defaults filled
// in, or the one that a backend alone is, of the name default.
func (f *Foreman) Pools() Pools {
	out := make(Pools, len(f.pools))
	for i, p := range f.pools {
		out[i] = p.Pool
	}
	return out
}

// poolOf is the first pool that serves a model, or nil.
func (f *Foreman) poolOf(model string) *pool {
	for _, p := range f.pools {
		if p.serves(model) {
			return p
		}
	}
	return nil
}

// has reports whether jobs of a model can be run by this process, if not just now.
func (f *Foreman) has(model string) bool {
	return slices.ContainsFunc(f.pools, func(p *pool) bool { return p.serves(model) && p.has(model) })
}

// lane is the lane of a job.
func (f *Foreman) lane(s *Spec) (string, error) {
	p := f.poolOf(s.Model)
	if p == nil {
		return "", errNoPool(s.Model)
	}
	if l, ok := p.Backend.(Laner); ok {
		return clip(l.Lane(s), maxLane), nil
	}
	return s.Model, nil
}
