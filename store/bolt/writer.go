package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/foreman-go/foreman/store"
)

// writer makes one transaction at a time out of everything that waits. It has
// no goroutine of its own: a caller that finds nobody writing leads, which is to
// write for itself and for all who wait, and then hands the lead to one of those
// who came meanwhile. So a lone caller pays one commit and no switch, and many
// share one commit.
type writer struct {
	mu      sync.Mutex
	idle    sync.Cond // signaled when nobody leads any more
	leading bool
	closed  bool
	waiting []*op
	ops     sync.Pool
	broken  error // once set, nothing is written any more; the leader's
	commits int   // so far; the leader's
	values  arena // the leader's
}

// op is one call's part of a transaction. run reports what becomes of the items
// of the call through variables it closes over, and returns an error only when
// the whole transaction must be given up.
type op struct {
	run  func(*txn) error
	turn chan turn // one message: the op was carried out, or its caller leads
}

type turn struct {
	lead bool
	err  error
}

// write carries out run in a transaction shared with whoever else is waiting,
// and returns when it is durable. When ctx ends first, run may still happen, so
// what it closes over must not be read.
func (s *Store) write(ctx context.Context, run func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &s.w
	o := w.newOp(run)
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return store.ErrClosed
	}
	w.waiting = append(w.waiting, o)
	if w.leading {
		w.mu.Unlock()
		select {
		case t := <-o.turn:
			if !t.lead {
				w.recycle(o)
				return t.err
			}
		case <-ctx.Done():
			if !w.leave(o) {
				return ctx.Err()
			}
		}
	} else {
		w.leading = true
		w.mu.Unlock()
	}
	err := w.lead(s, o)
	w.recycle(o)
	return err
}

// newOp makes an op, or takes one that was recycled.
func (w *writer) newOp(run func(*txn) error) *op {
	o, ok := w.ops.Get().(*op)
	if !ok {
		o = &op{turn: make(chan turn, 1)}
	}
	o.run = run
	return o
}

// recycle takes back an op that nobody else knows any more.
func (w *writer) recycle(o *op) {
	o.run = nil
	w.ops.Put(o)
}

// leave takes an op out of the queue if nobody has begun on it; if somebody has, it
// is left to them. It reports whether the lead was handed to the op meanwhile: then
// its caller must take it, since others wait.
func (w *writer) leave(o *op) (lead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case t := <-o.turn:
		return t.lead
	default:
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(p *op) bool { return p == o })
	return false
}

// lead carries out everything that waits, own among it, and hands on the lead.
func (w *writer) lead(s *Store, own *op) error {
	batch := w.gather()

	err := w.commit(s, batch)
	for _, o := range batch {
		if o != own {
			o.turn <- turn{err: err}
		}
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 {
		w.waiting[0].turn <- turn{lead: true}
	} else {
		w.leading = false
		w.idle.Broadcast()
	}
	return err
}

// gather takes everything that waits. Those whom the commit before this one has
// answered are about to call again: while more of them come, it lets them, for a few
// turns, so that this commit is theirs too. Nobody waits for those who do not come.
func (w *writer) gather() []*op {
	const turns = 3
	for seen, turn := 0, 1; ; turn++ {
		runtime.Gosched()
		w.mu.Lock()
		n := len(w.waiting)
		if n == seen || turn == turns {
			batch := w.waiting
			w.waiting = make([]*op, 0, n)
			w.mu.Unlock()
			return batch
		}
		seen = n
		w.mu.Unlock()
	}
}

// stop refuses new writes and waits for those on their way.
func (w *writer) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.leading {
		w.idle.Wait()
	}
}

// commit carries out a batch. Items that cannot be carried out have said so in
// their own results; an error here is everybody's, and nothing has happened.
func (w *writer) commit(s *Store, batch []*op) error {
	if w.broken != nil {
		return w.broken
	}
	err := guard(func() error {
		tx, err := s.db.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // no effect after Commit
		size := tx.Size()
		w.values.reset()
		t := &txn{tx: tx, now: now(), store: s, values: &w.values}
		for _, o := range batch {
			if err := o.run(t); err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		s.leases.follow(t)
		if w.commits++; w.commits%releaseEvery == 0 {
			release(s.db, size)
		}
		return nil
	})
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: store file %s: %w", store.ErrFull, s.path, err)
	}
	if errors.Is(err, errPanicked) {
		// Nobody can tell how far the panic got: write no more.
		err = fmt.Errorf("store file %s: %w: nothing more is written: restore it from a backup", s.path, err)
		w.broken = err
	}
	return err
}
