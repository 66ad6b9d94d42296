package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Claim implements [store.Queue].
func (s *Store) Claim(ctx context.Context, c store.Claim, start func(store.Record) store.Change) ([]store.Record, error) {
	var out []store.Record
	err := s.write(ctx, func(t *txn) error {
		if t.pausedAll() || t.pausedLane(appendName(nil, c.Lane)) {
			return nil
		}
		if err := t.promote(); err != nil {
			return err
		}
		rows, err := t.claimable(c.Lane, c.Limit)
		if err != nil {
			return err
		}
		out = make([]store.Record, 0, len(rows))
		for i := range rows {
			r, err := t.claim(&rows[i], &c, start)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// claimable reads the rows of a lane that can be claimed, in claim order.
func (t *txn) claimable(lane string, limit int) ([]row, error) {
	var rows []row
	type entry struct {
		level
		turn  uint64
		id    ulid.ULID
		owner string
	}
	var damaged []entry
	prefix := appendName(nil, lane)
	c := t.bucket(bucketReady).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(rows) < limit; k, v = c.Next() {
		priority, turn, id := cutReady(k, len(lane))
		r, err := t.indexed(id)
		if err != nil {
			_, owner := readyOf(v)
			damaged = append(damaged, entry{level{lane, priority}, turn, id, owner})
			continue
		}
		if r.Deadline.IsZero() || r.Deadline.After(t.now) {
			rows = append(rows, r)
		}
	}
	// A record that cannot be read is nobody's to claim. Get reports it.
	for _, e := range damaged {
		if _, err := t.removeReady(e.level, e.turn, e.id, e.owner); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (t *txn) claim(old *row, c *store.Claim, start func(store.Record) store.Change) (r store.Record, err error) {
	r.Head = old.Head
	if r.Spec, err = t.blob(old.spec); err != nil {
		r.Spec = nil // start finds that it is not there
	}
	change := start(r)
	change.Head.ID = old.ID
	if change.Head.State == store.Working {
		change.Head.Worker = c.Worker
		change.Head.Deadline = t.now.Add(c.Lease)
	}
	var res store.Result
	if err := t.apply(old, &change, &res); err != nil {
		return r, err
	}
	r.Head = res.Head
	return r, res.Err
}

// Extend implements [store.Queue].
func (s *Store) Extend(ctx context.Context, refs []store.Ref, lease time.Duration) ([]store.Result, error) {
	out := make([]store.Result, len(refs))
	err := s.write(ctx, func(t *txn) error {
		for i := range refs {
			old, ok, err := t.current(refs[i], &out[i])
			if err != nil {
				return err
			}
			if ok && old.State != store.Working {
				out[i].Head, out[i].Err = old.Head, store.ErrStale
			}
			if out[i].Err != nil {
				continue
			}
			if err := t.setDeadline(&old, t.now.Add(lease)); err != nil {
				return err
			}
			out[i].Head = old.Head
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// promoted makes ready what is due, if anything is, so that a read sees it.
func (s *Store) promoted(ctx context.Context) error {
	for {
		var due bool
		err := s.view(func(t *txn) error {
			due = t.promotable()
			return nil
		})
		if err != nil || !due {
			return err
		}
		if err := s.write(ctx, (*txn).promote); err != nil {
			return err
		}
	}
}

// Lanes implements [store.Queue].
func (s *Store) Lanes(ctx context.Context) ([]store.Lane, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.promoted(ctx); err != nil {
		return nil, err
	}
	var out []store.Lane
	err := s.view(func(t *txn) error {
		all := t.pausedAll()
		return t.bucket(bucketLanes).ForEach(func(k, v []byte) error {
			name, _ := cutName(k)
			l := store.Lane{Name: string(name), Ready: int(posAt(v)), Paused: all || t.pausedLane(k)}
			t.summarise(k, &l)
			out = append(out, l)
			return nil
		})
	})
	return out, err
}

// sinceDepth is how many records of each priority summarise looks at. Each owner's
// longest waiting one is at one of the two least turns, if it has not withdrawn others,
// so that of up to 64 owners all are seen.
const sinceDepth = 128

// summarise looks at the first records of each priority of a lane.
func (t *txn) summarise(prefix []byte, l *store.Lane) {
	c := t.bucket(bucketReady).Cursor()
	k, v := c.Seek(prefix)
	if bytes.HasPrefix(k, prefix) {
		priority, _, id := cutReady(k, len(l.Name))
		l.Priority = priority
		if r, err := t.indexed(id); err == nil { // else Claim will see to it
			l.Kind = r.Kind
		}
	}
	for first := true; bytes.HasPrefix(k, prefix); first = false {
		same := k[:len(prefix)+4] // lane and priority
		n := 0
		for ; n < sinceDepth && bytes.HasPrefix(k, same); n++ {
			since, _ := readyOf(v)
			l.Since = earliest(l.Since, since)
			k, v = c.Next()
		}
		if first {
			l.Top = l.Since
		}
		if n == sinceDepth {
			k, v = c.Seek(after(same))
		}
	}
}

// Position implements [store.Queue].
func (s *Store) Position(ctx context.Context, id ulid.ULID, limit int) (ahead int, ready bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	if err := s.promoted(ctx); err != nil {
		return 0, false, err
	}
	err = s.view(func(t *txn) error {
		h, ok, err := t.row(id)
		if err != nil {
			return err
		}
		if !ok {
			return store.ErrNotFound
		}
		key := readyKey(levelOf(&h.Head), h.turn, h.ID)
		if h.State != store.Queued || t.get(bucketReady, key) == nil {
			return nil
		}
		ready = true
		c := t.bucket(bucketReady).Cursor()
		for k, _ := c.Seek(appendName(nil, h.Lane)); ahead < limit && bytes.Compare(k, key) < 0; k, _ = c.Next() {
			ahead++
		}
		return nil
	})
	return ahead, ready, err
}

// Overdue implements [store.Queue].
func (s *Store) Overdue(ctx context.Context, limit int) ([]store.Head, error) {
	var out []store.Head
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.view(func(t *txn) error {
		c := t.bucket(bucketDeadlines).Cursor()
		for class := range classCount {
			for k, _ := c.Seek([]byte{class}); k != nil && k[0] == class && len(out) < limit; k, _ = c.Next() {
				if timeAt(k[1:]).After(t.now) {
					break
				}
				r, err := t.indexed(ulid.ULID(k[9:]))
				if err != nil {
					continue // nobody can do anything about it but Get, which reports it
				}
				out = append(out, r.Head)
			}
		}
		return nil
	})
	return out, err
}

// Upcoming implements [store.Queue].
func (s *Store) Upcoming(ctx context.Context) (store.Upcoming, error) {
	var u store.Upcoming
	if err := ctx.Err(); err != nil {
		return u, err
	}
	err := s.view(func(t *txn) error {
		if k, _ := t.bucket(bucketDelayed).Cursor().Seek(appendTime(nil, t.now.Add(time.Microsecond))); k != nil {
			u.Run = timeAt(k)
		}
		c := t.bucket(bucketDeadlines).Cursor()
		for class := range classCount {
			if k, _ := c.Seek([]byte{class}); k != nil && k[0] == class {
				u.Deadline = earliest(u.Deadline, timeAt(k[1:]))
			}
		}
		u.Delivery = t.nextDelivery()
		return nil
	})
	return u, err
}

// earliest is the earlier of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
