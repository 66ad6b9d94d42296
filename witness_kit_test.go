package foreman_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// told is one event of one job.
type told struct {
	job      string
	sequence uint64
}

// witness is a receiver that can tell what it has accepted.
type witness struct{ *webhooktest.Receiver }

// newWitness starts one. fault is asked about each request, and says how it goes wrong;
// if it returns nil, the request is accepted.
func newWitness(tb testing.TB, secret string, fault func() *webhooktest.Answer) *witness {
	return &witness{webhooktest.NewReceiver(tb, &webhooktest.Options{
		Secrets: []string{secret},
		Answer: func(webhooktest.Delivery) webhooktest.Answer {
			if a := fault(); a != nil {
				return *a
			}
			return webhooktest.OK()
		},
	})}
}

// events returns those that were accepted, each once, in the order in which they were for
// the first time, how many requests came, and how many of them were accepted though their
// event had been before. It requires of all requests, accepted or not, that they verify,
// that none came before the event before its own in its job was accepted, that those of
// one event have the same webhook-id and the same bytes, and that no two events share a
// webhook-id.
func (w *witness) events(tb testing.TB) (accepted []told, requests, again int) {
	tb.Helper()
	of := map[string]told{}
	first := map[told]webhooktest.Delivery{}
	at := map[told]time.Time{} // when it was first accepted
	got := w.Deliveries()
	for _, d := range got {
		require.NoError(tb, d.Err, "a signature")
		e := told{d.Event.JobID, d.Event.Sequence}
		require.NotZero(tb, e.sequence)
		if before, ok := first[e]; ok {
			require.Equal(tb, before.ID(), d.ID(), "another webhook-id for %v", e)
			require.Equal(tb, string(before.Body), string(d.Body), "other bytes for %v", e)
		} else {
			require.NotContains(tb, of, d.ID(), "the webhook-id of another event")
			first[e], of[d.ID()] = d, e
		}
		if !d.Accepted() {
			continue
		}
		if t, ok := at[e]; ok {
			again++
			at[e] = earlier(t, d.Answered)
		} else {
			at[e] = d.Answered
		}
	}
	for _, d := range got {
		if d.Event.Sequence > 1 {
			t, ok := at[told{d.Event.JobID, d.Event.Sequence - 1}]
			require.True(tb, ok && !d.Time.Before(t), "event %d of job %s came before the last one was accepted", d.Event.Sequence, d.Event.JobID)
		}
	}
	accepted = slices.SortedFunc(maps.Keys(at), func(a, b told) int { return at[a].Compare(at[b]) })
	return accepted, len(got), again
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// requireInOrder requires of each job that its events are 1, 2, 3 and so on.
func requireInOrder(tb testing.TB, events []told) {
	tb.Helper()
	highest := map[string]uint64{}
	for _, e := range events {
		require.Equal(tb, highest[e.job]+1, e.sequence, "of job %s, out of order", e.job)
		highest[e.job] = e.sequence
	}
}

// requireSame requires that two lists of events are the same set.
func requireSame(tb testing.TB, committed, accepted []told) {
	tb.Helper()
	missing, extra := map[told]bool{}, map[told]bool{}
	for _, e := range committed {
		missing[e] = true
	}
	for _, e := range accepted {
		if !missing[e] {
			extra[e] = true
		}
		delete(missing, e)
	}
	require.Empty(tb, slices.Collect(maps.Keys(missing)), "committed and never accepted")
	require.Empty(tb, slices.Collect(maps.Keys(extra)), "accepted and never committed")
}
