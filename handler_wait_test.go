package foreman

import (
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
)

// Whoever waits for the end is not woken by every word of the output.
func TestOutputDoesNotWakeWhoeverWaits(t *testing.T) {
	h := hub{}
	h.init()
	id := ulid.Make()
	w := h.watch(id, false)
	defer h.leave(id, w)
	h.shows(id, &live{})
	require.Empty(t, w.news)
	require.Nil(t, w.first())
	h.changed(id)
	require.Len(t, w.news, 1)
}
