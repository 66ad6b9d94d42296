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
	waits   bool // a leader is at an op that is held
	groups  int  // that there have been
	closed  bool
	waiting []*op
}

const (
	leaders  = 2       // how many transactions are under way at once
	mostOps  = 1000    // in one transaction
	mostSize = 8 << 20 // bytes in one transaction, or one op

	mostInCall = 256 << 20 // bytes; PostgreSQL takes up to a gigabyte
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

	group int  // with whom it is to share a transaction, once one did not get a lock in time; 0 for anybody
	held  bool // it is certain that a lock is held that it needs
	left  bool // nobody waits for it any more
}

// write carries out an op in a transaction shared with whoever else is waiting, and
// returns when it is durable. When ctx ends first, or the database does not answer, the op
// may still happen, so what it closes over must not be read.
func (s *Store) write(ctx context.Context, o *op) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if o.size > mostInCall {
		return fmt.Errorf("%w: %d bytes in one call, more than %d", store.ErrInvalid, o.size, mostInCall)
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

// leave takes an op out of the queue if nobody has begun on it, or else keeps it from
// getting there again.
func (w *writer) leave(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o.left = true
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
		for _, o := range s.w.over(batch, err) {
			o.done <- classify(err)
		}
	}
}

// over returns those of a batch that have ended with err. If it is that a lock was not to
// be had in time, they are tried once more, half of them at a time, to find out soon which
// of them is held. Those that are wait again, of which one leader at a time takes one, so
// that there is always another for the rest.
func (w *writer) over(batch []*op, err error) []*op {
	w.mu.Lock()
	defer w.mu.Unlock()
	if batch[0].held {
		w.waits = false
	}
	if !isLocked(err) || w.closed {
		return batch
	}
	if len(batch) == 1 && !batch[0].left {
		w.groups++
		batch[0].group, batch[0].held = w.groups, true
		w.waiting = append(w.waiting, batch[0])
		return nil
	}
	var again, ended []*op
	for i, o := range batch {
		if i == 0 || i == len(batch)/2 {
			w.groups++
		}
		if o.group = w.groups; o.left {
			ended = append(ended, o)
		} else {
			again = append(again, o)
		}
	}
	w.waiting = append(again, w.waiting...)
	return ended
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
		batch := w.take()
		if len(batch) == 0 {
			w.leading--
			w.idle.Broadcast()
		}
		return batch
	}
}

// take takes those who come first as far as they fit into one transaction. mu is held.
func (w *writer) take() (batch []*op) {
	size := 0
	w.waiting = slices.DeleteFunc(w.waiting, func(o *op) bool {
		if w.isFull(batch, size, o) {
			return false
		}
		w.waits = w.waits || o.held
		size += o.size
		batch = append(batch, o)
		return true
	})
	return batch
}

// isFull reports whether an op is for another batch than this one. mu is held.
func (w *writer) isFull(batch []*op, size int, o *op) bool {
	if len(batch) == 0 {
		return o.held && w.waits
	}
	return o.group != batch[0].group || len(batch) == mostOps || size+o.size > mostSize
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
