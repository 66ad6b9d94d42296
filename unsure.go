package foreman

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
)

// starts are the attempts that a claim begins, if it is made.
type starts struct {
	mu         sync.Mutex // the store may still be at it when it has given up on an answer
	entries    map[store.Ref]entry
	deliveries []store.Delivery
}

func (s *starts) add(r store.Record, e entry, c store.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[store.Ref]entry{}
	}
	s.entries[store.Ref{ID: r.ID, Version: r.Version + 1}] = e
	s.deliveries = append(s.deliveries, c.Deliveries...)
}

// unsure is a job of a claim of which the store could not say whether it was made.
type unsure struct {
	ref   store.Ref
	pool  *pool
	until time.Time // when it is given up: by then its lease has run out
}

// maxUnsure bounds how many are looked after. The rest is found when their leases run
// out, as those of a process that has died.
const maxUnsure = 10_000

// doubt has the jobs of a claim looked after.
func (d *desk) doubt(s *starts, p *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := range s.entries {
		if len(d.unsure) < maxUnsure {
			d.unsure = append(d.unsure, unsure{ref, p, d.f.now().Add(d.f.o.Lease)})
		}
	}
}

// doubtful are jobs that were claimed after all, though nobody was told: they are to be
// given back, without their attempt being counted.
func (d *desk) doubtful(ctx context.Context) (back []*attempt) {
	kept := d.unsure[:0]
	for _, u := range d.unsure {
		r, err := d.f.o.Store.Get(ctx, u.ref.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil, r.Version < u.ref.Version: // it may still come
			if d.f.now().Before(u.until) {
				kept = append(kept, u)
			}
		case r.Ref() == u.ref && r.State == store.Working && r.Worker == d.f.runs.worker:
			if e, err := fromRecord(r); err == nil {
				back = append(back, newAttempt(d.f, e, u.pool))
			}
		}
	}
	clear(d.unsure[len(kept):])
	d.unsure = kept
	d.f.runs.add(back)
	return back
}
