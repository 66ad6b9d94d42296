package foreman_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
)

// forgetful is a store that makes its first claim and cannot say so.
type forgetful struct {
	store.Store
	done atomic.Bool
}

func (s *forgetful) Claim(ctx context.Context, c store.Claim, start func(store.Record) store.Change) ([]store.Record, error) {
	r, err := s.Store.Claim(ctx, c, start)
	if err == nil && len(r) > 0 && s.done.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("%w: unexpected EOF", store.ErrUnavailable)
	}
	return r, err
}

// A claim that was made without a word costs no attempt, and not the length of a lease.
func TestClaimsMadeWithoutAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForeman(t, doNothing, foreman.Options{Store: &forgetful{Store: openStore(t)}, Dir: t.TempDir(), Lease: time.Minute})
		start(t, f)
		begun := time.Now()
		j := await(t, f, submit(t, f, foreman.Spec{MaxAttempts: 1}))
		require.Equal(t, foreman.Done, j.State)
		require.Equal(t, 1, j.Attempt)
		require.Less(t, time.Since(begun), 5*time.Second)
	})
}
