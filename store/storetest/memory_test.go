package storetest_test

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/storetest"
)

// A store of one's own is proven by one call of storetest.Run. This one lives
// in memory, so nothing of it survives Close.
func TestMemory(t *testing.T) {
	storetest.Run(t, memoryHarness())
}

func BenchmarkMemory(b *testing.B) {
	storetest.Benchmark(b, memoryHarness())
}

func memoryHarness() storetest.Harness {
	return storetest.Harness{
		New:      func(tb testing.TB) string { return tb.Name() },
		Open:     func(string) (store.Store, error) { return newMemory(), nil },
		Volatile: true,
	}
}

// memory is the whole contract of [store.Store] under one lock. It has no
// index: whatever it is asked, it looks at everything.
type memory struct {
	mu      sync.Mutex
	closed  bool
	records map[ulid.ULID]*record
	given   map[share]uint64 // the turn given last
	all     bool             // all lanes are paused
	paused  map[string]bool
	pos     uint64                   // the last one given to an event
	outbox  map[ulid.ULID][]*sending // by record, in order of sequence
}

type record struct {
	store.Record
	events []store.Event
	ready  bool
	turn   uint64 // while it is queued; 0 for one that comes back from working
}

type share struct {
	lane     string
	priority int32
	owner    string
}

type sending struct {
	store.Delivery
	hidden time.Time // until then it is claimed
}

func newMemory() *memory {
	return &memory{
		records: map[ulid.ULID]*record{}, outbox: map[ulid.ULID][]*sending{},
		given: map[share]uint64{}, paused: map[string]bool{},
	}
}

// enter takes the lock, if the call can be made; leave it with m.mu.Unlock.
func (m *memory) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return store.ErrClosed
	}
	m.promote()
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) Insert(ctx context.Context, in []store.Insertion) ([]store.Result, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	results := make([]store.Result, len(in))
	for i := range in {
		results[i] = m.insert(in[i])
	}
	return results, nil
}

func (m *memory) insert(in store.Insertion) store.Result {
	if old := m.holder(in.Head.Owner, in.Head.IdempotencyKey); old != nil {
		if !bytes.Equal(old.Fingerprint, in.Head.Fingerprint) {
			return store.Result{Err: store.ErrKeyReused}
		}
		return store.Result{Head: copyHead(old.Head), Existing: true}
	}
	if m.records[in.Head.ID] != nil || m.outbox[in.Head.ID] != nil {
		return store.Result{Err: store.ErrExists}
	}
	if !numbered(in.Events, 0, in.Head.Seq) {
		return store.Result{Err: store.ErrInvalid}
	}
	r := &record{Record: store.Record{Head: copyHead(in.Head), Spec: in.Spec}}
	r.Version = 1
	m.records[r.ID] = r
	m.queue(r, store.Head{})
	m.emit(r, in.Events, in.Deliveries)
	return store.Result{Head: copyHead(r.Head)}
}

func (m *memory) holder(owner, key string) *record {
	for _, r := range m.records {
		if key != "" && r.Owner == owner && r.IdempotencyKey == key {
			return r
		}
	}
	return nil
}

func (m *memory) emit(r *record, events []store.Event, deliveries []store.Delivery) {
	for _, e := range events {
		m.pos++
		e.ID, e.Owner, e.Pos = r.ID, r.Owner, m.pos
		r.events = append(r.events, e)
	}
	for _, d := range deliveries {
		d.ID, d.State, d.Due = r.ID, store.Pending, kept(d.Due)
		list := m.outbox[r.ID]
		if n := len(list); n > 0 && list[n-1].State == store.Stopped {
			d.State = store.Stopped
		}
		m.outbox[r.ID] = append(list, &sending{Delivery: d})
	}
}

func (m *memory) Get(ctx context.Context, id ulid.ULID) (store.Record, error) {
	if err := m.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer m.mu.Unlock()
	r := m.records[id]
	if r == nil {
		return store.Record{}, store.ErrNotFound
	}
	return store.Record{Head: copyHead(r.Head), Spec: bytes.Clone(r.Spec), Outcome: bytes.Clone(r.Outcome)}, nil
}

func (m *memory) List(ctx context.Context, q store.Query) (store.Page, error) {
	if err := m.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer m.mu.Unlock()
	found := m.sorted(func(r *record) bool { return matches(q, r.Head) })
	slices.Reverse(found)
	var page store.Page
	for i, r := range found {
		page.Heads = append(page.Heads, copyHead(r.Head))
		if i+1 >= q.Limit && i+1 < len(found) {
			page.Next = r.ID
			break
		}
	}
	return page, nil
}

// sorted returns the records that match, in the order of their ids.
func (m *memory) sorted(match func(*record) bool) []*record {
	var found []*record
	for _, r := range m.records {
		if match(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return a.ID.Compare(b.ID) })
	return found
}

func matches(q store.Query, h store.Head) bool {
	for name, value := range q.Labels {
		if v, ok := h.Labels[name]; !ok || v != value {
			return false
		}
	}
	return (q.Owner == "" || h.Owner == q.Owner) &&
		(q.State == "" || h.State == q.State) &&
		(q.Kind == "" || h.Kind == q.Kind) &&
		(q.CreatedAfter.IsZero() || h.Created.After(q.CreatedAfter)) &&
		(q.CreatedBefore.IsZero() || h.Created.Before(q.CreatedBefore)) &&
		(q.Before.IsZero() || h.ID.Compare(q.Before) < 0)
}

func (m *memory) Apply(ctx context.Context, changes []store.Change) ([]store.Result, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	results := make([]store.Result, len(changes))
	for i, c := range changes {
		r, result := m.at(store.Ref{ID: c.Head.ID, Version: c.Head.Version})
		if result.Err == nil && !numbered(c.Events, r.Seq, c.Head.Seq) {
			result = store.Result{Err: store.ErrInvalid}
		}
		if result.Err == nil {
			if r.State == store.Working && c.Head.State == store.Working {
				c.Head.Deadline = r.Deadline // the lease is the store's
			}
			result.Head = m.change(r, c)
		}
		results[i] = result
	}
	return results, nil
}

// at returns a record at one version, or a result that says why not.
func (m *memory) at(ref store.Ref) (*record, store.Result) {
	r := m.records[ref.ID]
	switch {
	case r == nil:
		return nil, store.Result{Err: store.ErrNotFound}
	case r.Version != ref.Version:
		return nil, store.Result{Head: copyHead(r.Head), Err: store.ErrStale}
	}
	return r, store.Result{}
}

// change carries out what was found to be valid.
func (m *memory) change(r *record, c store.Change) store.Head {
	h := copyHead(c.Head)
	h.Version, h.Owner, h.Created = r.Version+1, r.Owner, r.Created
	h.IdempotencyKey, h.Fingerprint = r.IdempotencyKey, r.Fingerprint
	old := r.Head
	r.Head = h
	m.queue(r, old)
	if c.Outcome != nil {
		r.Outcome = c.Outcome
	}
	if h.State == store.Queued {
		r.Outcome = nil
	}
	m.emit(r, c.Events, c.Deliveries)
	return copyHead(h)
}

func (m *memory) Delete(ctx context.Context, refs []store.Ref) ([]store.Result, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	results := make([]store.Result, len(refs))
	for i, ref := range refs {
		r, result := m.at(ref)
		if result.Err == nil {
			delete(m.records, r.ID)
			m.dropSettled(r.ID)
			result.Head = r.Head
		}
		results[i] = result
	}
	return results, nil
}

func (m *memory) Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]store.Event, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	r := m.records[id]
	if r == nil || after >= uint64(len(r.events)) {
		return nil, nil
	}
	rest := r.events[after:]
	return copyEvents(rest[:min(limit, len(rest))]), nil
}

func (m *memory) Feed(ctx context.Context, q store.FeedQuery) (store.FeedPage, error) {
	if err := m.enter(ctx); err != nil {
		return store.FeedPage{}, err
	}
	defer m.mu.Unlock()
	var found []store.Event
	for _, r := range m.records {
		for _, e := range r.events {
			if e.Pos > q.After && (q.Owner == "" || e.Owner == q.Owner) {
				found = append(found, e)
			}
		}
	}
	slices.SortFunc(found, func(a, b store.Event) int { return cmp.Compare(a.Pos, b.Pos) })
	if limit := max(q.Limit, 1); len(found) > limit {
		found = found[:limit]
		return store.FeedPage{Events: copyEvents(found), Next: found[limit-1].Pos, More: true}, nil
	}
	return store.FeedPage{Events: copyEvents(found), Next: max(q.After, m.pos)}, nil
}

// numbered reports whether events follow each other from last, and end with seq.
func numbered(events []store.Event, last, seq uint64) bool {
	for _, e := range events {
		if last++; e.Seq != last {
			return false
		}
	}
	return seq == last
}

// kept is a time as the contract has it: to the microsecond, in UTC.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func copyHead(h store.Head) store.Head {
	for _, t := range []*time.Time{&h.Created, &h.RunAt, &h.Started, &h.Finished, &h.Expires, &h.Deadline} {
		*t = kept(*t)
	}
	h.Labels = maps.Clone(h.Labels)
	h.Fingerprint, h.Note = bytes.Clone(h.Fingerprint), bytes.Clone(h.Note)
	return h
}

func copyEvents(events []store.Event) []store.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].Data = bytes.Clone(events[i].Data)
	}
	return events
}
