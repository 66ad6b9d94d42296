package postgres

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
)

// writer makes transactions out of everything that waits. A caller that finds no more
// than a few under way starts one for itself and all who wait; when it has ended, it
// goes on with those who came meanwhile. So a lone caller pays one commit, many share
// one, and while the database makes one durable another can be under way.
type writer struct {
	mu      sync.Mutex
	idle    sync.Cond // signaled when nobody leads any more
	leading int
	closed  bool
	waiting []*op
}

const (
	leaders  = 2       // how many transactions are under way at once
	mostOps  = 1000    // in one transaction
	mostSize = 8 << 20 // bytes in one transaction, or one op
)

// op is one call's part of a transaction. It may run more than once, so want and run
// begin anew each time. What becomes of the items of the call is told through variables
// that they close over; what run returns is an error of the whole transaction.
type op struct {
	want  func(*txn)       // tells what must be read before run
	run   func(*txn) error // nil for none
	claim *claim
	send  *sending
	size  int        // of what it writes, about
	done  chan error // one message
}

// write carries out an op in a transaction shared with whoever else is waiting, and
// returns when it is durable. When ctx ends first, or the database does not answer, the op
// may still happen, so what it closes over must not be read.
func (s *Store) write(ctx context.Context, o *op) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	o.done = make(chan error, 1)
	w := &s.w
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return store.ErrClosed
	}
	w.waiting = append(w.waiting, o)
	if w.leading < leaders {
		w.leading++
		go s.lead()
	}
	w.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		w.leave(o)
		return ctx.Err()
	case <-late.C:
		w.leave(o)
		return fmt.Errorf("%w: the database has not answered within %s", store.ErrUnavailable, patience)
	}
}

// leave takes an op out of the queue if nobody has begun on it.
func (w *writer) leave(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(p *op) bool { return p == o })
}

// lead carries out what waits, until nothing does.
func (s *Store) lead() {
	for {
		batch := s.w.gather()
		if len(batch) == 0 {
			return
		}
		err := s.transact(batch)
		for _, o := range batch {
			o.done <- err
		}
	}
}

// gather takes what waits. Those whom the commit before this one has answered are about
// to call again: while more of them come, it lets them, for a few turns. When nothing
// waits, the caller leads no more.
func (w *writer) gather() []*op {
	const turns = 3
	for seen, turn := 0, 1; ; turn++ {
		runtime.Gosched()
		w.mu.Lock()
		n := len(w.waiting)
		if n > seen && turn < turns {
			seen = n
			w.mu.Unlock()
			continue
		}
		defer w.mu.Unlock()
		n = w.fitting()
		batch := slices.Clone(w.waiting[:n])
		w.waiting = slices.Delete(w.waiting, 0, n)
		if n == 0 {
			w.leading--
			w.idle.Broadcast()
		}
		return batch
	}
}

// fitting is how many of those who wait fit into one transaction.
func (w *writer) fitting() int {
	size := 0
	for i, o := range w.waiting {
		if size += o.size; i == mostOps || i > 0 && size > mostSize {
			return i
		}
	}
	return len(w.waiting)
}

// stop refuses new writes and waits for those on their way.
func (w *writer) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.leading > 0 {
		w.idle.Wait()
	}
}

func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}
