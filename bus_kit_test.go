package foreman_test

import (
	"context"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// bus carries messages between Foremans that share a store.
type bus struct {
	store.Store

	mu      sync.Mutex
	members []*member
	offices map[string]office
}

type office struct {
	by    string
	until time.Time
}

// member is the store as one of the processes has it.
type member struct {
	*bus
	inbox []string
	news  chan struct{} // holds at most one token
}

func (b *bus) join() *member {
	m := &member{bus: b, news: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members = append(b.members, m)
	return m
}

func (m *member) Export(ctx context.Context, after ulid.ULID, limit int) ([]store.Whole, error) {
	return m.Store.(store.Mover).Export(ctx, after, limit)
}

func (m *member) Import(ctx context.Context, in []store.Whole) ([]store.Result, error) {
	return m.Store.(store.Mover).Import(ctx, in)
}

func (m *member) Now() time.Time { return time.Now() }

func (m *member) Hold(_ context.Context, name, holder string, lease time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.offices == nil {
		m.offices = map[string]office{}
	}
	if h := m.offices[name]; h.by != holder && h.until.After(time.Now()) {
		return false, nil
	}
	m.offices[name] = office{holder, time.Now().Add(lease)}
	return true, nil
}

func (m *member) Publish(_ context.Context, messages ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range messages {
		if len(s) > store.MaxMessage {
			return store.ErrInvalid
		}
	}
	for _, o := range m.members {
		if o == m {
			continue
		}
		o.inbox = append(o.inbox, messages...)
		select {
		case o.news <- struct{}{}:
		default:
		}
	}
	return nil
}

func (m *member) Subscribe(ctx context.Context, fn func(string), lost func()) error {
	lost()
	for {
		select {
		case <-m.news:
		case <-ctx.Done():
			return ctx.Err()
		}
		m.mu.Lock()
		messages := m.inbox
		m.inbox = nil
		m.mu.Unlock()
		for _, s := range messages {
			fn(s)
		}
	}
}
