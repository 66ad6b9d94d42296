package foreman_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// A slot does not leave its lane while jobs of it are being claimed, whoever calls: they
// would begin with another model loaded, beside what that is loaded for.
func TestASlotStaysWhileJobsAreClaimedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claiming := make(chan struct{}, 10)
		goOn, letGoOn := latch()
		defer letGoOn()
		s := &spied{Store: openStore(t), claiming: func() {
			claiming <- struct{}{}
			<-goOn
		}}
		g := newGate()
		f := newForeman(t, g, foreman.Options{Store: s, PerSlot: 2})
		start(t, f)
		id := submit(t, f, foreman.Spec{Model: "a"})
		<-claiming
		called := make(chan error, 1)
		let := make(chan struct{}, 1)
		go func() {
			called <- f.Do(t.Context(), foreman.Spec{Model: "b", Priority: 1}, func(context.Context, foreman.Turn) error {
				let <- struct{}{}
				return nil
			})
		}()
		synctest.Wait()
		q, err := f.Queue(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a", q.Slots[0].Lane)
		select {
		case <-let:
			t.Fatal("begun beside what is being claimed")
		default:
		}
		letGoOn()
		require.Equal(t, "a", (<-g.began).Spec.Model)
		select {
		case <-let:
			t.Fatal("begun beside a job of another lane")
		default:
		}
		g.end <- nil
		await(t, f, id)
		<-let
		require.NoError(t, <-called)
	})
}
