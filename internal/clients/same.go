package clients

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// SameBytes sends all [Requests] directly and through a gateway, which has to pass on
// what changes the server: the answers have to be the same, byte for byte, but for what
// the gateway says of the turn. Who may ask at all is for whoever serves the gateway to
// say: host and origin are the statuses of requests for a foreign host, and from a page
// of a foreign origin. Those that are named in except are answered in another way.
func SameBytes(t *testing.T, direct, through, host, origin string, except ...string) {
	foreign := map[string]string{"foreign Host": host, "foreign Origin": origin}
	for _, r := range Requests() {
		if slices.Contains(except, r.Name) {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			want := Parse(t, r.Bytes, Raw(t, direct, r.Bytes))
			got := Parse(t, r.Bytes, Raw(t, through, r.Bytes))
			got.Header = slices.DeleteFunc(got.Header, func(line string) bool { return strings.HasPrefix(line, "X-Foreman-") })
			if status, ok := foreign[r.Name]; ok {
				require.Equal(t, "HTTP/1.1 "+status, got.Status)
				return
			}
			if r.Name == "large header" {
				want, got = Answer{Status: want.Status}, Answer{Status: got.Status}
			}
			require.Equal(t, want.Joined(), got.Joined())
		})
	}
}

// SameScenes plays the scenes of [Run] directly and through a gateway: the clients have
// to see the same, but in the scenes that are named in except.
func SameScenes(t *testing.T, direct, through string, except ...string) {
	want, got := Run(t, direct), Run(t, through)
	require.Len(t, got, len(want))
	for scene, saw := range want {
		if slices.Contains(except, scene) {
			continue
		}
		require.Equal(t, string(saw), string(got[scene]), scene)
	}
	var aborted struct{ Enough bool }
	require.NoError(t, json.Unmarshal(got["openai: aborted"], &aborted))
	require.True(t, aborted.Enough)
}
