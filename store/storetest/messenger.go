package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/foreman-go/foreman/store"
)

// messengerRules are those of a store that is a [store.Messenger] too.
func messengerRules() []rule {
	return []rule{
		{"ReachesOthers", messengerReaches},
		{"InOrder", messengerOrder},
		{"AnyText", messengerText},
		{"Refuses", messengerRefuses},
		{"Ends", messengerEnds},
	}
}

// ear hears messages of a store until the test ends.
type ear struct {
	*fixture
	mu    sync.Mutex
	heard []string
}

const probe = "probe "

func (f *fixture) messenger() store.Messenger {
	return f.Store.(store.Messenger)
}

// listen subscribes, and waits until what others publish is heard.
func (f *fixture) listen(others ...*fixture) *ear {
	f.t.Helper()
	m := f.messenger()
	e := &ear{fixture: f}
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- m.Subscribe(ctx, e.hear, func() {}) }()
	f.t.Cleanup(func() {
		cancel()
		f.ErrorIs(<-ended, context.Canceled)
	})
	for i, o := range others {
		f.eventually(func() bool {
			f.NoError(o.messenger().Publish(f.ctx, probe+fmt.Sprint(i)))
			return e.has(probe + fmt.Sprint(i))
		}, "the subscription to be there")
	}
	return e
}

func (e *ear) hear(message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, message)
}

func (e *ear) has(message string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.heard, message)
}

// upTo is what was heard before the last message, which it waits for.
func (e *ear) upTo(last string) (list []string) {
	e.t.Helper()
	e.eventually(func() bool { return e.has(last) }, "the last message")
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.heard {
		if m == last {
			break
		}
		if !strings.HasPrefix(m, probe) {
			list = append(list, m)
		}
	}
	return list
}

func messengerReaches(f *fixture) {
	f.messenger()
	g, h := f.another(), f.another()
	here, there, too := f.listen(g), g.listen(f), h.listen(f, g)
	f.NoError(f.messenger().Publish(f.ctx, "one", "two", "two"))
	f.NoError(f.messenger().Publish(f.ctx))
	f.NoError(f.messenger().Publish(f.ctx, "three"))
	f.NoError(f.messenger().Publish(f.ctx, "last"))
	for _, e := range []*ear{there, too} {
		f.Equal([]string{"one", "two", "two", "three"}, e.upTo("last"))
	}
	f.NoError(g.messenger().Publish(f.ctx, "reply"))
	f.Empty(here.upTo("reply"), "not one's own")
}

// Those of one sender are in order, however many there are at once.
func messengerOrder(f *fixture) {
	f.messenger()
	g := f.another()
	e := g.listen(f)
	const each = 40
	m := f.messenger()
	errs := make([]error, racers)
	together(racers, func(i int) {
		for n := range each {
			if err := m.Publish(f.ctx, fmt.Sprintf("%d %d", i, n)); err != nil {
				errs[i] = err
				return
			}
		}
	})
	for _, err := range errs {
		f.NoError(err)
	}
	f.NoError(m.Publish(f.ctx, "last"))
	next := make([]int, racers)
	for _, message := range e.upTo("last") {
		var i, n int
		_, err := fmt.Sscan(message, &i, &n)
		f.NoError(err)
		f.Equal(next[i], n)
		next[i]++
	}
	for _, n := range next {
		f.Equal(each, n)
	}
}

func messengerText(f *fixture) {
	f.messenger()
	g := f.another()
	e := g.listen(f)
	all := []string{"", " ", "a b  c", "\n", "'", `"\`, "日本語", "\U0001F6E0", "\x01\x7f", strings.Repeat("x", store.MaxMessage)}
	f.NoError(f.messenger().Publish(f.ctx, all...))
	f.NoError(f.messenger().Publish(f.ctx, "last"))
	f.Equal(all, e.upTo("last"))
}

func messengerRefuses(f *fixture) {
	m := f.messenger()
	g := f.another()
	e := g.listen(f)
	for _, bad := range []string{"\x00", "a\x00b", "\xff", strings.Repeat("x", store.MaxMessage+1)} {
		f.ErrorIs(m.Publish(f.ctx, "good", bad), store.ErrInvalid)
	}
	f.NoError(m.Publish(f.ctx, "last"))
	f.Empty(e.upTo("last"), "none is sent")
}

func messengerEnds(f *fixture) {
	f.messenger()
	g := &fixture{Assertions: f.Assertions, t: f.t, h: f.h, place: f.place, ctx: f.ctx}
	g.open()
	m := g.messenger()
	canceled, cancel := context.WithCancel(f.ctx)
	cancel()
	f.ErrorIs(m.Publish(canceled, "late"), context.Canceled)
	f.ErrorIs(m.Subscribe(canceled, func(string) {}, func() {}), context.Canceled)
	ended := make(chan error, 1)
	go func() { ended <- m.Subscribe(f.ctx, func(string) {}, func() {}) }()
	f.NoError(g.Close())
	f.ErrorIs(<-ended, store.ErrClosed)
	f.ErrorIs(m.Publish(f.ctx, "late"), store.ErrClosed)
	f.ErrorIs(m.Subscribe(f.ctx, func(string) {}, func() {}), store.ErrClosed)
}
