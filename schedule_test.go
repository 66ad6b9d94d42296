package foreman

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPick(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const maxWait = time.Minute
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tc := range []struct {
		name    string
		current string
		lanes   []demand
		want    string
	}{
		{"nothing waits", "a", nil, ""},
		{"keeps its lane", "a", []demand{{lane: "a", since: ago(0)}, {lane: "b", since: ago(time.Second)}}, "a"},
		{"leaves an empty lane", "a", []demand{{lane: "b", since: ago(0)}}, "b"},
		{"moves for a higher priority", "a", []demand{{lane: "a", since: ago(0)}, {lane: "b", priority: 1, since: ago(0)}}, "b"},
		{"does not move for a lower one", "a", []demand{{lane: "a", since: ago(0)}, {lane: "b", priority: -1, since: ago(time.Hour)}}, "a"},
		{"moves for one that has waited too long", "a", []demand{{lane: "a", since: ago(0)}, {lane: "b", since: ago(maxWait + 1)}}, "b"},
		{"but not at the very moment", "a", []demand{{lane: "a", since: ago(0)}, {lane: "b", since: ago(maxWait)}}, "a"},
		{"leaves alone what another slot serves", "a", []demand{{lane: "a", since: ago(0)}, {lane: "b", priority: 9, since: ago(0), served: true}}, "a"},
		{"free: priority before age", "", []demand{{lane: "a", since: ago(time.Second)}, {lane: "b", priority: 1, since: ago(0)}}, "b"},
		{"free: age", "", []demand{{lane: "a", since: ago(1)}, {lane: "b", since: ago(2)}}, "b"},
		{"free: callers before jobs", "", []demand{{lane: "a", since: ago(2)}, {lane: "b", since: ago(1), sync: true}}, "b"},
		{"free: jobs of a higher priority before callers", "", []demand{{lane: "a", priority: 1, since: ago(2)}, {lane: "b", since: ago(1), sync: true}}, "a"},
		{"free: too long a wait before callers", "", []demand{{lane: "a", since: ago(2 * maxWait)}, {lane: "b", since: ago(1), sync: true}}, "a"},
		{"free: only served lanes wait", "", []demand{{lane: "a", since: ago(2), served: true}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := pick(now, tc.current, tc.lanes, maxWait)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.want != "", ok)
		})
	}
}
