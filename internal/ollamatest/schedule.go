package ollamatest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

var (
	errMaxQueue = errors.New("server busy, please try again.  maximum pending requests exceeded")
	errClosed   = errors.New("the server ends")
)

// scheduler holds the loaded models. As in Ollama, a request for one of them does
// not pass through the queue, if it has the settings with which the model was
// loaded. Any other waits its turn there, and at its head until there is room,
// however long others keep asking for what is loaded.
type scheduler struct {
	now     func() time.Time
	changed func(func(*Stats))
	most    int // models loaded at once
	places  int // requests that a model answers at once
	lingers int // calls of /api/ps that list a model which has been unloaded
	pending chan *load
	idle    chan struct{} // has a token when there may be room
	closed  chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	loaded []*runner
	gone   []*runner // unloaded, and still listed
}

// load is a request that waits for its model.
type load struct {
	ctx    context.Context
	wants  wanted
	takes  time.Duration
	runner *runner // set once there is one; mu of the scheduler guards it
	ready  chan struct{}
}

func newScheduler(o *Options, now func() time.Time, changed func(func(*Stats))) *scheduler {
	maxQueue := o.MaxQueue
	if maxQueue == 0 {
		maxQueue = 512
	}
	s := &scheduler{
		now: now, changed: changed,
		most: max(o.MaxLoaded, 1), places: max(o.Parallel, 1), lingers: o.Lingers,
		pending: make(chan *load, maxQueue),
		idle:    make(chan struct{}, 1), closed: make(chan struct{}),
	}
	s.wg.Go(s.run)
	return s
}

func (s *scheduler) close() {
	close(s.closed)
	s.wg.Wait()
}

// acquire waits for a place of a model, which is loaded if need be; release gives
// it up. It reports whether the request had to wait for the load.
func (s *scheduler) acquire(ctx context.Context, w wanted, takes time.Duration) (r *runner, loading bool, err error) {
	if r = s.join(w); r == nil {
		l := &load{ctx: ctx, wants: w, takes: takes, ready: make(chan struct{})}
		select {
		case s.pending <- l:
		default:
			return nil, false, errMaxQueue
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			s.withdraw(l)
			return nil, false, ctx.Err()
		case <-s.closed:
			return nil, false, errClosed
		}
		r, loading = l.runner, true
	}
	select {
	case r.places <- struct{}{}:
		select {
		case <-r.dead: // that of whoever has died with it
			<-r.places
			err = errDeath
		default:
			return r, loading, nil
		}
	case <-r.dead:
		err = errDeath
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.closed:
		return nil, false, errClosed
	}
	s.leave(r, nil)
	return nil, false, err
}

func (s *scheduler) release(r *runner, keep *keepAlive) {
	<-r.places
	s.leave(r, keep)
}

// join uses a loaded model if it is the one.
func (s *scheduler) join(w wanted) *runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(w)
	if r != nil {
		s.admit(r, 1)
	}
	return r
}

// find is the loaded model that is wanted, as it is wanted, or nil. mu is held.
func (s *scheduler) find(w wanted) *runner {
	s.reap()
	for _, r := range s.loaded {
		if r.serves(w) {
			return r
		}
	}
	return nil
}

// leave takes leave of a model, which then stays as long as keep says, or as was
// said before.
func (s *scheduler) leave(r *runner, keep *keepAlive) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keep != nil {
		r.keepAlive = keep.Duration
	}
	s.left(r)
}

// admit counts users of a loaded model. mu is held.
func (s *scheduler) admit(r *runner, n int) {
	r.users += n
	s.changed(func(c *Stats) { c.Admitted += n })
}

// left is leave with mu held.
func (s *scheduler) left(r *runner) {
	s.admit(r, -1)
	if r.users == 0 {
		r.expires = s.now().Add(r.keepAlive)
		s.reap()
		s.wake()
	}
}

func (s *scheduler) wake() {
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

func (s *scheduler) withdraw(l *load) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.runner != nil {
		s.left(l.runner)
	}
}

func (s *scheduler) run() {
	for {
		select {
		case l := <-s.pending:
			s.serve(l)
		case <-s.closed:
			return
		}
	}
}

// serve loads the model of one request, unless its client hangs up.
func (s *scheduler) serve(l *load) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if r := s.find(l.wants); r != nil {
			s.admit(r, 1)
			l.runner = r
			close(l.ready)
			return
		}
		room := s.makeRoom(l.wants.model)
		s.mu.Unlock()
		ok := s.await(l, room)
		s.mu.Lock()
		if !ok {
			return
		}
		if room {
			s.add(l.wants)
		}
	}
}

// makeRoom unloads what is in the way of a model, if nobody uses it, and reports
// whether there is room then. mu is held.
func (s *scheduler) makeRoom(model string) bool {
	i := slices.IndexFunc(s.loaded, func(r *runner) bool { return r.model == model })
	if i < 0 && len(s.loaded) < s.most {
		return true
	}
	if i < 0 {
		i = slices.IndexFunc(s.loaded, func(r *runner) bool { return r.users == 0 })
	}
	if i < 0 || s.loaded[i].users > 0 {
		return false
	}
	s.remove(s.loaded[i])
	return true
}

// await waits as long as a load takes, or else until there may be room. It reports
// whether the request still wants it.
func (s *scheduler) await(l *load, room bool) bool {
	idle, loaded := s.idle, (<-chan time.Time)(nil)
	if room {
		idle, loaded = nil, time.After(l.takes)
	}
	select {
	case <-idle:
	case <-loaded:
	case <-l.ctx.Done():
		return false
	case <-s.closed:
		return false
	}
	return l.ctx.Err() == nil
}
