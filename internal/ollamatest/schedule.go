package ollamatest

import (
	"context"
	"errors"
	"sync"
	"time"
)

var (
	errMaxQueue = errors.New("server busy, please try again.  maximum pending requests exceeded")
	errClosed   = errors.New("the server ends")
)

const standardKeepAlive = 5 * time.Minute

// scheduler holds one loaded model. As in Ollama, a request for it does not pass
// through the queue; any other waits its turn there, and at its head until nobody
// uses the loaded model, however long others keep asking for that.
type scheduler struct {
	now     func() time.Time
	changed func(func(*Stats))
	pending chan *load
	places  chan struct{} // of the loaded model
	idle    chan struct{} // has a token when nobody uses it any more
	closed  chan struct{}
	wg      sync.WaitGroup

	mu        sync.Mutex
	loaded    string // "" for none
	users     int    // requests that hold it, or wait for a place
	keepAlive time.Duration
	expires   time.Time // when it is unloaded, if nobody uses it
}

// load is a request that waits for its model.
type load struct {
	ctx     context.Context
	model   string
	takes   time.Duration
	granted bool // mu of the scheduler guards it
	ready   chan struct{}
}

func newScheduler(now func() time.Time, changed func(func(*Stats)), places, maxQueue int) *scheduler {
	if maxQueue == 0 {
		maxQueue = 512
	}
	s := &scheduler{
		now: now, changed: changed,
		pending: make(chan *load, maxQueue), places: make(chan struct{}, places),
		idle: make(chan struct{}, 1), closed: make(chan struct{}),
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
func (s *scheduler) acquire(ctx context.Context, model string, takes time.Duration) (loading bool, err error) {
	if !s.join(model) {
		l := &load{ctx: ctx, model: model, takes: takes, ready: make(chan struct{})}
		select {
		case s.pending <- l:
		default:
			return false, errMaxQueue
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			s.withdraw(l)
			return false, ctx.Err()
		case <-s.closed:
			return false, errClosed
		}
		loading = true
	}
	select {
	case s.places <- struct{}{}:
		return loading, nil
	case <-ctx.Done():
		s.leave()
		return false, ctx.Err()
	case <-s.closed:
		return false, errClosed
	}
}

func (s *scheduler) release(keep *keepAlive) {
	s.mu.Lock()
	if keep != nil {
		s.keepAlive = keep.Duration
	}
	s.mu.Unlock()
	<-s.places
	s.leave()
}

// join uses the loaded model if it is the one.
func (s *scheduler) join(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current() != model {
		return false
	}
	s.admit(1)
	return true
}

func (s *scheduler) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left()
}

// admit counts users of the loaded model. mu is held.
func (s *scheduler) admit(n int) {
	s.users += n
	s.changed(func(c *Stats) { c.Admitted += n })
}

// left takes leave of the loaded model. mu is held.
func (s *scheduler) left() {
	s.admit(-1)
	if s.users > 0 {
		return
	}
	s.expires = s.now().Add(s.keepAlive)
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

func (s *scheduler) withdraw(l *load) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.granted {
		s.left()
	}
}

// current is the model that is loaded now. mu is held.
func (s *scheduler) current() string {
	if s.users == 0 && !s.now().Before(s.expires) {
		s.loaded = ""
	}
	return s.loaded
}

// unload unloads a model, once nobody uses it.
func (s *scheduler) unload(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == model {
		s.keepAlive, s.expires = 0, s.now()
	}
}

// die loses the loaded model, as when its process is killed.
func (s *scheduler) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = ""
}

// status is what is loaded, and until when it stays.
func (s *scheduler) status() (model string, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users > 0 {
		return s.current(), s.now().Add(s.keepAlive)
	}
	return s.current(), s.expires
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
	for s.current() != l.model {
		free := s.users == 0
		if free {
			s.loaded = ""
		}
		s.mu.Unlock()
		ok := s.await(l, free)
		s.mu.Lock()
		if !ok {
			return
		}
		if free {
			s.loaded, s.keepAlive, s.expires = l.model, standardKeepAlive, s.now().Add(standardKeepAlive)
			s.changed(func(c *Stats) { c.Loads++ })
		}
	}
	if l.ctx.Err() == nil {
		s.admit(1)
		l.granted = true
		close(l.ready)
	}
}

// await waits as long as a load takes, or else until the loaded model may be free.
// It reports whether the request still wants it.
func (s *scheduler) await(l *load, free bool) bool {
	idle, loaded := s.idle, (<-chan time.Time)(nil)
	if free {
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
