package artifact_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/artifacttest"
)

// What every store promises. The other tests of this package are of files.
func TestConformance(t *testing.T) {
	artifacttest.Run(t, func(tb testing.TB) artifacttest.Harness {
		path := filepath.Join(tb.TempDir(), "artifacts")
		return artifacttest.Harness{
			Open: func(tb testing.TB) artifact.Store {
				d, err := artifact.OpenDir(path)
				require.NoError(tb, err)
				tb.Cleanup(func() {
					require.True(tb, d.Idle(), "every Put and Sweep has left no trace in memory")
					require.NoError(tb, d.Close())
				})
				return d
			},
			Pinned:    true,
			Exclusive: true,
			Leftovers: func(tb testing.TB) (left []string) {
				for _, file := range files(tb, path) {
					if _, ok := artifact.ParsePath(file); !ok {
						left = append(left, file)
					}
				}
				return left
			},
		}
	})
}

func TestPaths(t *testing.T) {
	for path, k := range map[string]artifact.Key{
		"42/" + key(42, 0, "").Job + "-7-a.txt":                                                             key(42, 7, "a.txt"),
		"42/" + key(42, 0, "").Job + "-7-A.txt~1":                                                           key(42, 7, "A.txt"),
		"42/" + key(42, 0, "").Job + "-18446744073709551615-a-b":                                            key(42, 18446744073709551615, "a-b"),
		"01/" + key(1, 0, "").Job + "-0-" + strings.Repeat("n", 127) + "N~" + strings.Repeat("0", 31) + "8": key(1, 0, strings.Repeat("n", 127)+"N"),
	} {
		require.Equal(t, path, k.Path())
		parsed, ok := artifact.ParsePath(path)
		require.True(t, ok, path)
		require.Equal(t, k, parsed)
	}
	job := key(42, 0, "").Job
	for _, path := range []string{"", "42", job + "-7-a", "43/" + job + "-7-a", "/42/" + job + "-7-a", "42//" + job + "-7-a", "42/" + job + "-07-a", "42/" + job + "-7-A", "42/" + job + "-7-a~1", "42/" + job + "-7-", "42/x-7-a"} {
		_, ok := artifact.ParsePath(path)
		require.False(t, ok, path)
	}
}
