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

// front is the earliest delivery of a record that is pending, or nil.
func front(list []*sending) *sending {
	for _, d := range list {
		if d.State == store.Pending {
			return d
		}
	}
	return nil
}

func (m *memory) ClaimDeliveries(ctx context.Context, c store.DeliveryClaim) ([]store.Delivery, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	due := map[string][]*sending{}
	for _, list := range m.outbox {
		d := front(list)
		if d != nil && !d.Due.After(now) && !d.hidden.After(now) {
			due[d.Endpoint] = append(due[d.Endpoint], d)
		}
	}
	var claimed []store.Delivery
	bytes := int64(0)
	for _, endpoint := range turns(due, c.After) {
		list := due[endpoint]
		most, named := c.Room[endpoint]
		switch {
		case named:
			most = max(most, 0)
		case c.PerEndpoint != 0:
			most = max(c.PerEndpoint, 0)
		default:
			most = c.Limit
		}
		slices.SortFunc(list, func(a, b *sending) int { return cmp.Or(a.Due.Compare(b.Due), a.ID.Compare(b.ID)) })
		for _, d := range list[:min(len(list), most, c.Limit-len(claimed))] {
			if bytes += int64(len(d.Body)); c.Bytes > 0 && bytes > c.Bytes && len(claimed) > 0 {
				return claimed, nil
			}
			d.hidden = now.Add(c.Lease)
			claimed = append(claimed, copyDelivery(d.Delivery))
		}
	}
	return claimed, nil
}

// turns returns the endpoints in order, beginning after the one named.
func turns(due map[string][]*sending, after string) []string {
	endpoints := slices.Sorted(maps.Keys(due))
	i, found := slices.BinarySearch(endpoints, after)
	if found {
		i++
	}
	return slices.Concat(endpoints[i:], endpoints[:i])
}

func (m *memory) SettleDeliveries(ctx context.Context, batch []store.Settlement) ([]error, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	errs := make([]error, len(batch))
	for i, s := range batch {
		errs[i] = m.settle(s)
	}
	return errs, nil
}

func (m *memory) settle(s store.Settlement) error {
	i := slices.IndexFunc(m.outbox[s.ID], func(d *sending) bool { return d.Seq == s.Seq })
	if i < 0 {
		return store.ErrNotFound
	}
	d := m.outbox[s.ID][i]
	if d.Attempt != s.Attempt {
		return store.ErrStale
	}
	d.Attempt++
	d.State, d.Due, d.Log, d.hidden = s.State, kept(s.Due), s.Log, time.Time{}
	if s.State == store.Stopped {
		for _, later := range m.outbox[s.ID][i+1:] {
			if later.State == store.Pending {
				later.State, later.hidden = store.Stopped, time.Time{}
			}
		}
	}
	if m.records[s.ID] == nil {
		m.dropSettled(s.ID)
	}
	return nil
}

// dropSettled forgets the settled deliveries of a record that is gone.
func (m *memory) dropSettled(id ulid.ULID) {
	m.outbox[id] = slices.DeleteFunc(m.outbox[id], func(d *sending) bool { return d.State != store.Pending })
	if len(m.outbox[id]) == 0 {
		delete(m.outbox, id)
	}
}

func (m *memory) Deliveries(ctx context.Context, id ulid.ULID) ([]store.Delivery, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var list []store.Delivery
	for _, d := range m.outbox[id] {
		c := copyDelivery(d.Delivery)
		c.Body = nil
		list = append(list, c)
	}
	return list, nil
}

func (m *memory) Backlog(ctx context.Context) (int, error) {
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	n := 0
	for _, list := range m.outbox {
		for _, d := range list {
			if d.State == store.Pending {
				n++
			}
		}
	}
	return n, nil
}

func copyDelivery(d store.Delivery) store.Delivery {
	d.Log, d.Body = bytes.Clone(d.Log), bytes.Clone(d.Body)
	return d
}
