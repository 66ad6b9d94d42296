package postgres_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/pgtest"
)

// With both hosts in the URL, a process goes on at the standby once it is promoted: what
// runs ends, and what is new is taken.
func TestFailover(t *testing.T) {
	primary := pgtest.Start(t)
	standby := primary.Standby(t)
	_, second, _ := strings.Cut(standby.URL, "@")
	second, _, _ = strings.Cut(second, "/")
	// The standby is the first, so that a server that only reads is passed over.
	url := strings.Replace(primary.URL, "@", "@"+second+",", 1) + "&target_session_attrs=read-write"
	h := newHand()
	r := newReplica(t, open(t, url, nil), h, foreman.Options{Slots: 1, Lease: 30 * time.Second})
	runs := r.submit(t, foreman.Spec{})
	<-h.began
	primary.CatchUp(t, standby)

	primary.Crash(t)
	require.Equal(t, http.StatusServiceUnavailable, r.get(t, "/readyz").status)
	standby.Promote(t)
	require.Eventually(t, func() bool { return r.get(t, "/readyz").status == http.StatusOK }, patience, 10*time.Millisecond)
	h.end <- struct{}{}
	j := r.await(t, runs)
	require.Equal(t, foreman.Done, j.State)
	require.Equal(t, 1, j.Attempt)
	later := r.submit(t, foreman.Spec{})
	<-h.began
	h.end <- struct{}{}
	require.Equal(t, foreman.Done, r.await(t, later).State)
	var kept int
	sql(t, standby.URL, "SELECT count(*) FROM foreman.heads", &kept)
	require.Equal(t, 2, kept)
}
