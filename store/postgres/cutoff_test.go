package postgres_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/pgtest"
)

// A process is cut off from the database for longer than a lease: another one takes its
// job over, and what the first has made of it is dropped when it is back. It goes on with
// others then.
func TestCutOffLongerThanALease(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	h, at := newHole(t, server.URL)
	o := foreman.Options{Lease: 2 * time.Second}
	first, second := newHand(), newHand()
	one := newReplica(t, open(t, at, nil), first, o)
	id := one.submit(t, foreman.Spec{})
	require.Equal(t, 1, (<-first.began).Attempt)

	h.swallow(true)
	close(first.end) // its job ends where nobody can be told
	two := newReplica(t, open(t, server.URL, nil), second, o)
	require.Equal(t, 2, (<-second.began).Attempt)

	h.heal()
	eventually(t, "the first process to be back", func() bool { return one.get(t, "/readyz").status == http.StatusOK })
	next := two.submit(t, foreman.Spec{}) // there is no slot for it but the first one's
	j := one.await(t, next)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 1, j.Attempt)
	j, err := one.Status(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, foreman.Working, j.State)

	close(second.end)
	j = one.await(t, id)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 2, j.Attempt)
	require.Equal(t, json.RawMessage(`"attempt 2"`), j.Result)
	var states []foreman.State
	for _, e := range one.changes(t, id) {
		states = append(states, e.State)
	}
	require.Equal(t, []foreman.State{foreman.Queued, foreman.Working, foreman.Queued, foreman.Working, foreman.Done}, states)
}
