package storetest

import (
	"context"
	"regexp"

	"github.com/foreman-go/foreman/store"
)

// The rules of a store that is [store.Identified] too.

func identityRules() []rule {
	return []rule{
		{"Remains", identityRemains},
		{"OfOneStore", identityOfOne},
		{"Calls", identityCalls},
	}
}

func (f *fixture) id() string {
	f.t.Helper()
	id, err := f.Store.(store.Identified).ID(f.ctx)
	f.NoError(err)
	f.Regexp(regexp.MustCompile(`^[!-~]{1,64}$`), id)
	return id
}

func identityRemains(f *fixture) {
	id := f.id()
	f.remove(f.add(queued("lane")))
	f.Equal(id, f.id())
	if f.h.Shared {
		f.Equal(id, f.another().id())
	}
	if !f.h.Volatile {
		f.reopen()
		f.Equal(id, f.id())
	}
}

func identityOfOne(f *fixture) {
	f.NotEqual(f.id(), newFixture(f.t, f.h).id())
}

func identityCalls(f *fixture) {
	s := f.Store.(store.Identified)
	ended, cancel := context.WithCancel(f.ctx)
	cancel()
	_, err := s.ID(ended)
	f.ErrorIs(err, context.Canceled)
	f.NoError(f.Close())
	_, err = s.ID(f.ctx)
	f.ErrorIs(err, store.ErrClosed)
}
