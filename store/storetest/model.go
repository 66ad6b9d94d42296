package storetest

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// model is what a store must hold, kept in the plainest way: no index, every
// answer found by looking at everything.
type model struct {
	records    map[ulid.ULID]*store.Record
	turns      turns
	deliveries map[ulid.ULID][]*outgoing // those of deleted records too
	feed       []committed
	step       int // which call is being made
}

type outgoing struct {
	store.Delivery
	hidden bool // claimed with a lease longer than the test
}

// committed is an event and the call that committed it. In which order the
// items of one call follow each other in the feed is the store's to choose.
type committed struct {
	place
	owner string
	step  int
}

func newModel() *model {
	return &model{records: map[ulid.ULID]*store.Record{}, turns: newTurns(), deliveries: map[ulid.ULID][]*outgoing{}}
}

// sorted returns what is kept of the records that match, newest first.
func (m *model) sorted(match func(*store.Record) bool) []*store.Record {
	list := []*store.Record{}
	for _, r := range m.records {
		if match(r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *store.Record) int { return b.ID.Compare(a.ID) })
	return list
}

func headsOf(records []*store.Record) []store.Head {
	list := []store.Head{}
	for _, r := range records {
		list = append(list, r.Head)
	}
	return list
}

func follows(last uint64, head store.Head, events []store.Event) bool {
	for _, e := range events {
		if last++; e.Seq != last {
			return false
		}
	}
	return head.Seq == last
}

func (m *model) keep(owner string, events []store.Event, deliveries []store.Delivery) {
	for _, e := range events {
		m.feed = append(m.feed, committed{place{e.ID, e.Seq}, owner, m.step})
	}
	for _, d := range deliveries {
		list := m.deliveries[d.ID]
		if n := len(list); n > 0 && list[n-1].State == store.Stopped {
			d.State = store.Stopped
		}
		m.deliveries[d.ID] = append(list, &outgoing{Delivery: d})
	}
}

func (m *model) insert(in store.Insertion) store.Result {
	if in.Head.IdempotencyKey != "" {
		for _, r := range m.records {
			if r.Owner == in.Head.Owner && r.IdempotencyKey == in.Head.IdempotencyKey {
				if bytes.Equal(r.Fingerprint, in.Head.Fingerprint) {
					return store.Result{Head: r.Head, Existing: true}
				}
				return store.Result{Err: store.ErrKeyReused}
			}
		}
	}
	if m.records[in.Head.ID] != nil || m.deliveries[in.Head.ID] != nil {
		return store.Result{Err: store.ErrExists}
	}
	if !follows(0, in.Head, in.Events) {
		return store.Result{Err: store.ErrInvalid}
	}
	head := in.Head
	head.Version = 1
	m.records[head.ID] = &store.Record{Head: head, Spec: in.Spec}
	m.turns.move(store.Head{}, head)
	m.keep(head.Owner, in.Events, in.Deliveries)
	return store.Result{Head: head}
}

func (m *model) apply(c store.Change) store.Result {
	r := m.records[c.Head.ID]
	switch {
	case r == nil:
		return store.Result{Err: store.ErrNotFound}
	case r.Version != c.Head.Version:
		return store.Result{Head: r.Head, Err: store.ErrStale}
	case !follows(r.Seq, c.Head, c.Events):
		return store.Result{Err: store.ErrInvalid}
	}
	old := r.Head
	r.Head = c.Head
	r.Version = old.Version + 1
	r.Owner, r.Created = old.Owner, old.Created
	r.IdempotencyKey, r.Fingerprint = old.IdempotencyKey, old.Fingerprint
	if old.State == store.Working && r.State == store.Working {
		r.Deadline = old.Deadline
	}
	if c.Outcome != nil {
		r.Outcome = c.Outcome
	}
	if r.State == store.Queued {
		r.Outcome = nil
	}
	m.turns.move(old, r.Head)
	m.keep(r.Owner, c.Events, c.Deliveries)
	return store.Result{Head: r.Head}
}

func (m *model) remove(ref store.Ref) store.Result {
	r := m.records[ref.ID]
	switch {
	case r == nil:
		return store.Result{Err: store.ErrNotFound}
	case r.Version != ref.Version:
		return store.Result{Head: r.Head, Err: store.ErrStale}
	}
	delete(m.records, ref.ID)
	m.turns.move(r.Head, store.Head{})
	m.feed = slices.DeleteFunc(m.feed, func(c committed) bool { return c.id == ref.ID })
	m.dropSettled(ref.ID)
	return store.Result{Head: r.Head}
}

// dropSettled forgets the settled deliveries of a record that was deleted.
func (m *model) dropSettled(id ulid.ULID) {
	m.deliveries[id] = slices.DeleteFunc(m.deliveries[id], func(o *outgoing) bool { return o.State != store.Pending })
	if len(m.deliveries[id]) == 0 {
		delete(m.deliveries, id)
	}
}

func (m *model) settle(s store.Settlement) error {
	i := slices.IndexFunc(m.deliveries[s.ID], func(o *outgoing) bool { return o.Seq == s.Seq })
	if i < 0 {
		return store.ErrNotFound
	}
	o := m.deliveries[s.ID][i]
	if o.Attempt != s.Attempt {
		return store.ErrStale
	}
	o.Attempt++
	o.State, o.Due, o.Log, o.hidden = s.State, s.Due, s.Log, false
	if s.State == store.Stopped {
		for _, later := range m.deliveries[s.ID][i+1:] {
			if later.State == store.Pending {
				later.State, later.hidden = store.Stopped, false
			}
		}
	}
	if m.records[s.ID] == nil {
		m.dropSettled(s.ID)
	}
	return nil
}

// ready returns the records of a lane that can be claimed, in claim order.
func (m *model) ready(lane string) []*store.Record {
	list := m.sorted(func(r *store.Record) bool { return r.Lane == lane && isReady(r.Head) })
	slices.SortFunc(list, func(a, b *store.Record) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), m.turns.compare(a.ID, b.ID))
	})
	return list
}

func isReady(h store.Head) bool {
	at := time.Now()
	return h.State == store.Queued && !h.RunAt.After(at) && (h.Deadline.IsZero() || h.Deadline.After(at))
}

func (m *model) lanes() map[string]store.Lane {
	lanes := map[string]store.Lane{}
	for _, r := range m.records {
		list := m.ready(r.Lane)
		if len(list) == 0 {
			continue
		}
		lane := store.Lane{Name: r.Lane, Kind: list[0].Kind, Ready: len(list), Priority: list[0].Priority}
		for _, r := range list { // too few to have any that need not be looked at
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
		lanes[r.Lane] = lane
	}
	return lanes
}

func (m *model) overdue() []*store.Record {
	rank := func(r *store.Record) int {
		return slices.Index([]bool{r.State == store.Queued, r.State == store.Working, r.State.Ended()}, true)
	}
	at := time.Now()
	list := m.sorted(func(r *store.Record) bool { return !r.Deadline.IsZero() && r.Deadline.Before(at) })
	slices.SortFunc(list, func(a, b *store.Record) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Deadline.Compare(b.Deadline), a.ID.Compare(b.ID))
	})
	return list
}

// front returns the earliest pending delivery of each record, in no order.
func (m *model) front() []*outgoing {
	var list []*outgoing
	for _, all := range m.deliveries {
		if i := slices.IndexFunc(all, func(o *outgoing) bool { return o.State == store.Pending }); i >= 0 {
			list = append(list, all[i])
		}
	}
	slices.SortFunc(list, func(a, b *outgoing) int { return a.ID.Compare(b.ID) })
	return list
}

// all returns every delivery, in no order that matters.
func (m *model) all() []*outgoing {
	var list []*outgoing
	for _, some := range m.deliveries {
		list = append(list, some...)
	}
	slices.SortFunc(list, func(a, b *outgoing) int { return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Seq, b.Seq)) })
	return list
}

func (m *model) backlog() int {
	n := 0
	for _, o := range m.all() {
		if o.State == store.Pending {
			n++
		}
	}
	return n
}

// sendable counts for each endpoint the deliveries that can be claimed.
func (m *model) sendable() map[string]int {
	counts := map[string]int{}
	for _, o := range m.front() {
		if !o.hidden && !o.Due.After(time.Now()) {
			counts[o.Endpoint]++
		}
	}
	return counts
}
