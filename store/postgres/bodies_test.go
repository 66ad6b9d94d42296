package postgres_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// A delivery whose body is gone is told of once, as failed, and the next one of its record
// goes on. It has no size, and those beside it are bounded by theirs all the same.
func TestBodyGone(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	hook := func(endpoint string, seqs ...uint64) store.Insertion {
		in := job("owner")
		in.Head.Seq, in.Events = uint64(len(seqs)), nil
		for _, seq := range seqs {
			in.Events = append(in.Events, store.Event{Seq: seq})
			in.Deliveries = append(in.Deliveries, store.Delivery{Seq: seq, Endpoint: endpoint, URL: "url", Body: make([]byte, 1000)})
		}
		return in
	}
	first, second, third := hook("a", 1, 2), hook("b", 1), hook("c", 1)
	insert(t, s, first, second, third)
	sql(t, url, "DELETE FROM "+schema+".bodies WHERE seq = 1 AND id = '"+uuidOf(first.Head.ID)+"'")
	c := store.DeliveryClaim{Worker: "w", Limit: 10, Bytes: 1500, Lease: time.Hour}
	got, err := s.ClaimDeliveries(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, store.Delivery{ID: first.Head.ID, Seq: 1, Endpoint: "a", State: store.Failed}, withoutDue(got[0]))
	require.Equal(t, second.Head.ID, got[1].ID)
	require.Len(t, got[1].Body, 1000)
	list, err := s.Deliveries(t.Context(), first.Head.ID)
	require.NoError(t, err)
	require.Equal(t, store.Failed, list[0].State)
	require.Zero(t, list[0].Attempt)
	n, err := s.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n)
	got, err = s.ClaimDeliveries(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, first.Head.ID, got[0].ID)
	require.EqualValues(t, 2, got[0].Seq)
	require.Equal(t, store.Pending, got[0].State)
}

func withoutDue(d store.Delivery) store.Delivery {
	d.Due = time.Time{}
	return d
}

func uuidOf(id [16]byte) string { return hex.EncodeToString(id[:]) }

// Endpoints that are not named have no room: only those named are looked at.
func TestRoomForNamedAlone(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	for _, endpoint := range []string{"a", "b", "c", "d", "d"} {
		in := job("owner")
		in.Deliveries = []store.Delivery{{Seq: 1, Endpoint: endpoint, URL: "url"}}
		insert(t, s, in)
	}
	c := store.DeliveryClaim{
		Limit: 10, PerEndpoint: -1, After: "b", Lease: time.Hour,
		Room: map[string]int{"0": 1, "a": 5, "b": 0, "d": 1, "e": 1},
	}
	claim := func() (endpoints []string) {
		got, err := s.ClaimDeliveries(t.Context(), c)
		require.NoError(t, err)
		for _, d := range got {
			endpoints = append(endpoints, d.Endpoint)
		}
		return endpoints
	}
	require.Equal(t, []string{"d", "a"}, claim())
	require.Equal(t, []string{"d"}, claim())
	c.PerEndpoint = 0
	require.Equal(t, []string{"c"}, claim())
}
