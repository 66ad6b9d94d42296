package ollama_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Callers and jobs go by the priority that is preferred, and what makes no sense is no
// preference.
func TestPreferredPriority(t *testing.T) {
	r, step, holder, _ := holding(t, setUp{})
	var waiting []<-chan answer
	for i, c := range []struct{ text, preference string }{
		{"second", ""}, {"third", "priority=-1"}, {"first", "wait=60, priority=5"},
	} {
		waiting = append(waiting, goCall(limited(t), "POST", r.front.URL+"/api/chat", chat("llama3", c.text), "Prefer", c.preference))
		require.Eventually(t, func() bool {
			q, err := r.f.Queue(t.Context())
			require.NoError(t, err)
			return len(q.Lanes) == 1 && q.Lanes[0].Callers == i+1
		}, 20*time.Second, time.Millisecond)
	}
	close(step)
	require.Equal(t, 200, (<-holder).status)
	for i, applied := range [][]string{nil, {"priority=-1"}, {"wait=60", "priority=5"}} {
		a := <-waiting[i]
		require.Equal(t, 200, a.status)
		require.Equal(t, applied, a.header.Values("Preference-Applied"))
	}
	var order []string
	for _, q := range asked(r.model, "/api/chat")[1:] {
		var body struct{ Messages []struct{ Content string } }
		require.NoError(t, json.Unmarshal(q.Body, &body))
		order = append(order, body.Messages[0].Content)
	}
	require.Equal(t, []string{"first", "second", "third"}, order)

	for preference, want := range map[string]int{"respond-async, priority=7": 7, "respond-async, priority=101": 0, "respond-async": 0} {
		a := call(limited(t), "POST", r.front.URL+"/v1/chat/completions", chat("llama3", "a"), "Prefer", preference)
		require.Equal(t, 202, a.status, a.body)
		require.Equal(t, want, await(t, r.f, made(t, a).ID).Spec.Priority, preference)
		if want != 0 {
			require.Equal(t, []string{"respond-async", "priority=7"}, a.header.Values("Preference-Applied"))
		}
	}
}
