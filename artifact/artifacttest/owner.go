package artifacttest

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func ownerRules() []rule {
	return []rule{
		{"Own", own},
		{"OwnAtOnce", ownAtOnce},
		{"OwnOver", ownOver},
	}
}

func (f *fixture) owned() artifact.Owned {
	s, ok := f.s.(artifact.Owned)
	if !ok {
		f.Skip("this store does not keep whose it is")
	}
	return s
}

// own has the first queue own a store, whatever happens to its artifacts.
func own(f *fixture) {
	s := f.owned()
	f.put(key(1, 1, "a"), "x")
	require.NoError(f, s.Own(f.Context(), "one"))
	require.NoError(f, s.Own(f.Context(), "one"))
	err := s.Own(f.Context(), "two")
	require.ErrorIs(f, err, artifact.ErrOwned)
	require.ErrorContains(f, err, `"one"`)
	if !f.h.Exclusive {
		other := f.h.Open(f).(artifact.Owned)
		require.NoError(f, other.Own(f.Context(), "one"))
		require.ErrorIs(f, other.Own(f.Context(), "two"), artifact.ErrOwned)
	}
	f.holds(key(1, 1, "a"), "x")
	require.Equal(f, 1, f.sweep(keepNone))
	if spools, ok := f.s.(artifact.Spooler); ok {
		_, err := spools.SweepSpools(f.Context(), keepNone)
		require.NoError(f, err)
	}
	require.ErrorIs(f, s.Own(f.Context(), "two"), artifact.ErrOwned)
}

// ownAtOnce has queues that come at once to one store agree which of them has it, when
// they are asked again.
func ownAtOnce(f *fixture) {
	s := f.owned()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { _ = s.Own(f.Context(), fmt.Sprint(i)) })
	}
	group.Wait()
	owners := 0
	for i := range 8 {
		if err := s.Own(f.Context(), fmt.Sprint(i)); err == nil {
			owners++
		} else {
			require.ErrorIs(f, err, artifact.ErrOwned)
		}
	}
	require.Equal(f, 1, owners)
}

func ownOver(f *fixture) {
	s := f.owned()
	ended, cancel := context.WithCancel(f.Context())
	cancel()
	require.ErrorIs(f, s.Own(ended, "one"), context.Canceled)
	require.NoError(f, s.Own(f.Context(), "two"), "it was nobody's")
}
