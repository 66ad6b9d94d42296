package storetest_test

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// ready returns the records of a lane that can be claimed, in claim order.
func (m *memory) ready(lane string) []*record {
	now := time.Now()
	found := m.sorted(func(r *record) bool {
		return r.Lane == lane && r.State == store.Queued && !r.RunAt.After(now) &&
			(r.Deadline.IsZero() || r.Deadline.After(now))
	})
	slices.SortStableFunc(found, func(a, b *record) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.turn, b.turn))
	})
	return found
}

// promote makes ready what has become due, in the order in which it did.
func (m *memory) promote() {
	now := time.Now()
	due := m.sorted(func(r *record) bool { return r.State == store.Queued && !r.ready && !r.RunAt.After(now) })
	slices.SortStableFunc(due, func(a, b *record) int { return a.RunAt.Compare(b.RunAt) })
	for _, r := range due {
		m.makeReady(r)
	}
}

// queue gives a record its turn, if it is queued; old is its head before.
func (m *memory) queue(r *record, old store.Head) {
	back := old.State == store.Working || old.State == store.Queued && r.turn == 0
	due := !r.RunAt.After(time.Now())
	if r.State == store.Queued && due && r.ready && old.Lane == r.Lane && old.Priority == r.Priority {
		return
	}
	r.ready, r.turn = false, 1
	if back {
		r.turn = 0
	}
	if r.State == store.Queued && due {
		m.makeReady(r)
	}
}

func (m *memory) makeReady(r *record) {
	r.ready = true
	if r.turn == 0 {
		return
	}
	mine := share{r.Lane, r.Priority, r.Owner}
	least, last := uint64(0), uint64(0)
	for _, o := range m.records {
		if o == r || !o.ready || o.turn == 0 || o.Lane != r.Lane || o.Priority != r.Priority {
			continue
		}
		if least == 0 || o.turn < least {
			least = o.turn
		}
		if o.Owner == r.Owner {
			last = m.given[mine]
		}
	}
	r.turn = max(least, last+1)
	m.given[mine] = r.turn
}

func (m *memory) Pause(ctx context.Context, p store.Pause) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	paused := maps.Clone(m.paused)
	for _, lane := range p.Lanes {
		paused[lane] = true
	}
	if len(paused) > store.MaxPaused {
		return store.ErrFull
	}
	m.paused, m.all = paused, m.all || p.All
	return nil
}

func (m *memory) Resume(ctx context.Context, p store.Pause) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, lane := range p.Lanes {
		delete(m.paused, lane)
	}
	m.all = m.all && !p.All
	return nil
}

func (m *memory) Paused(ctx context.Context) (store.Pause, error) {
	if err := m.enter(ctx); err != nil {
		return store.Pause{}, err
	}
	defer m.mu.Unlock()
	return store.Pause{All: m.all, Lanes: slices.Sorted(maps.Keys(m.paused))}, nil
}

func (m *memory) Claim(ctx context.Context, c store.Claim, start func(store.Record) store.Change) ([]store.Record, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if m.all || m.paused[c.Lane] {
		return nil, nil
	}
	found := m.ready(c.Lane)
	found = found[:min(len(found), max(c.Limit, 0))]
	changes := make([]store.Change, len(found))
	for i, r := range found {
		changes[i] = start(store.Record{Head: copyHead(r.Head), Spec: bytes.Clone(r.Spec)})
		if !numbered(changes[i].Events, r.Seq, changes[i].Head.Seq) {
			return nil, store.ErrInvalid
		}
	}
	claimed := make([]store.Record, len(found))
	for i, r := range found {
		changes[i].Head.Worker, changes[i].Head.Deadline = c.Worker, time.Now().Add(c.Lease)
		claimed[i] = store.Record{Head: m.change(r, changes[i]), Spec: bytes.Clone(r.Spec)}
	}
	return claimed, nil
}

func (m *memory) Extend(ctx context.Context, refs []store.Ref, lease time.Duration) ([]store.Result, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	results := make([]store.Result, len(refs))
	for i, ref := range refs {
		r, result := m.at(ref)
		switch {
		case result.Err != nil:
		case r.State != store.Working:
			result = store.Result{Head: copyHead(r.Head), Err: store.ErrStale}
		default:
			r.Deadline = kept(time.Now().Add(lease))
			result.Head = copyHead(r.Head)
		}
		results[i] = result
	}
	return results, nil
}

func (m *memory) Lanes(ctx context.Context) ([]store.Lane, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	seen := map[string]bool{}
	var lanes []store.Lane
	for _, r := range m.records {
		if ready := m.ready(r.Lane); len(ready) > 0 && !seen[r.Lane] {
			seen[r.Lane] = true
			lane := summary(ready)
			lane.Paused = m.all || m.paused[r.Lane]
			lanes = append(lanes, lane)
		}
	}
	return lanes, nil
}

// summary tells of a lane by its ready records, which are in claim order.
func summary(ready []*record) store.Lane {
	lane := store.Lane{Name: ready[0].Lane, Kind: ready[0].Kind, Ready: len(ready), Priority: ready[0].Priority}
	for _, r := range ready {
		due := r.Created
		if r.RunAt.After(due) {
			due = r.RunAt
		}
		if lane.Since.IsZero() || due.Before(lane.Since) {
			lane.Since = due
		}
		if r.Priority == lane.Priority {
			lane.Top = lane.Since // which are the first
		}
	}
	return lane
}

func (m *memory) Position(ctx context.Context, id ulid.ULID, limit int) (int, bool, error) {
	if err := m.enter(ctx); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	r := m.records[id]
	if r == nil {
		return 0, false, store.ErrNotFound
	}
	ahead := slices.Index(m.ready(r.Lane), r)
	if ahead < 0 {
		return 0, false, nil
	}
	return min(ahead, limit), true, nil
}

func (m *memory) Overdue(ctx context.Context, limit int) ([]store.Head, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	found := m.sorted(func(r *record) bool { return !r.Deadline.IsZero() && r.Deadline.Before(now) })
	slices.SortStableFunc(found, func(a, b *record) int {
		return cmp.Or(cmp.Compare(urgency(a.State), urgency(b.State)), a.Deadline.Compare(b.Deadline))
	})
	var heads []store.Head
	for _, r := range found[:min(limit, len(found))] {
		heads = append(heads, copyHead(r.Head))
	}
	return heads, nil
}

func urgency(s store.State) int {
	switch s {
	case store.Queued:
		return 0
	case store.Working:
		return 1
	}
	return 2
}

func (m *memory) Upcoming(ctx context.Context) (store.Upcoming, error) {
	if err := m.enter(ctx); err != nil {
		return store.Upcoming{}, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	var u store.Upcoming
	for _, r := range m.records {
		if r.State == store.Queued {
			sooner(&u.Run, r.RunAt, now)
		}
		sooner(&u.Deadline, r.Deadline, now)
	}
	for _, list := range m.outbox {
		if d := front(list); d != nil { // one that is claimed was due already
			sooner(&u.Delivery, d.Due, now)
		}
	}
	return u, nil
}

// sooner sets first to t if that is to come, and sooner.
func sooner(first *time.Time, t, now time.Time) {
	if t.After(now) && (first.IsZero() || t.Before(*first)) {
		*first = t
	}
}
