package artifact_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func keepNone(string, uint64) (bool, error) { return false, nil }

func TestSweep(t *testing.T) {
	d, dir := open(t)
	kept := []artifact.Key{key(1, 2, "a"), key(1, 2, "B"), key(101, 1, "a")}
	swept := []artifact.Key{key(1, 1, "a"), key(1, 20, "a"), key(2, 1, "a"), key(2, 1, "c-d")}
	for _, k := range append(kept, swept...) {
		put(t, d, k, []byte("x"))
	}
	foreign := []string{
		"README", "x/y", "tmp2/z", "01/notes.txt", "01/" + key(1, 1, "").Job, "01/" + key(1, 1, "").Job + "-1-",
		"01/" + key(1, 1, "").Job + "-01-a", "01/" + key(1, 1, "").Job + "-1-a~1", "01/" + key(2, 1, "").Job + "-1-a", "01/" + key(1, 1, "").Job + "-1-.a",
	}
	leftover := []string{"tmp/ABCDEFGH", "tmp/.x", "tmp/other.txt"}
	for _, file := range append(foreign, leftover...) {
		path := filepath.Join(dir, filepath.FromSlash(file))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
	}

	type claim struct {
		job string
		run uint64
	}
	asked := map[claim]int{}
	known := map[claim]bool{{kept[0].Job, 2}: true, {kept[2].Job, 1}: true}
	keep := func(job string, run uint64) (bool, error) {
		asked[claim{job, run}]++
		return known[claim{job, run}], nil
	}
	removed, err := d.Sweep(t.Context(), keep)
	require.NoError(t, err)
	require.Equal(t, len(swept)+len(leftover), removed)
	require.Len(t, asked, 5)
	for c, times := range asked {
		require.Equal(t, 1, times, c)
	}
	for _, k := range kept {
		require.Equal(t, "x", string(get(t, d, k)))
	}
	for _, k := range swept {
		gone(t, d, k)
	}
	require.Len(t, files(t, dir), len(kept)+len(foreign))

	removed, err = d.Sweep(t.Context(), keep)
	require.NoError(t, err)
	require.Zero(t, removed)
}

func TestSweepGoesOnAfterWhatItCannotRemove(t *testing.T) {
	d, dir := open(t)
	put(t, d, key(1, 1, "a"), nil)
	put(t, d, key(2, 1, "a"), nil)
	stuck := filepath.Join(dir, "01", key(1, 1, "").Job+"-1-full", "directory")
	require.NoError(t, os.MkdirAll(stuck, 0o700))
	removed, err := d.Sweep(t.Context(), keepNone)
	require.ErrorContains(t, err, "-1-full")
	require.Equal(t, 2, removed)
	require.DirExists(t, stuck)
}
