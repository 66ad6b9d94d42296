package artifacttest

import (
	"bytes"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func keyRules() []rule {
	return []rule{
		{"KeysAreApart", keysAreApart},
		{"NamesAreComparedByteByByte", namesAreComparedByteByByte},
		{"BadKeysAreRefused", badKeysAreRefused},
	}
}

func keysAreApart(f *fixture) {
	keys := []artifact.Key{
		key(1, 0, "a"), key(1, 1, "a"), key(1, 11, "a"), key(1, 1, "1-a"), key(1, 1, "b"), key(101, 1, "a"), key(2, 1, "a"),
		key(1, 18446744073709551615, "a"),
	}
	for i, k := range keys {
		f.put(k, string(rune('0'+i)))
	}
	for i, k := range keys {
		f.holds(k, string(rune('0'+i)))
	}
	f.gone(key(1, 2, "a"))
	f.gone(key(3, 1, "a"))
}

// Names that a file system, or the store's own bookkeeping, could take for others.
func namesAreComparedByteByByte(f *fixture) {
	names := []string{
		"log", "Log", "lOg", "LOG", "a.txt", "A.TXT", "a", "a.attrs", "A.ATTRS", "x.tmp", "x.18af.tmp", "x", "-", "_", "__0x2f__",
		"a..b", "a-b", "-rf", strings.Repeat("N", 128), strings.Repeat("n", 128),
	}
	for i, name := range names {
		f.put(key(1, 1, name), string(rune('a'+i)))
	}
	for i, name := range names {
		f.holds(key(1, 1, name), string(rune('a'+i)))
	}
	f.gone(key(1, 1, "loG"))
	require.NoError(f, f.s.Remove(f.Context(), key(1, 1, "a")))
	f.holds(key(1, 1, "a.attrs"), "h")
	require.Equal(f, len(names)-1, f.sweep(keepNone))
	f.clean()
}

func badKeysAreRefused(f *fixture) {
	good := key(1, 1, "a")
	for name, k := range map[string]artifact.Key{
		"no job":              {Job: "", Name: "a"},
		"short job":           {Job: good.Job[1:], Name: "a"},
		"long job":            {Job: good.Job + "0", Name: "a"},
		"letter U":            {Job: good.Job[:25] + "U", Name: "a"},
		"job with dots":       {Job: good.Job[:24] + "..", Name: "a"},
		"job with a dash":     {Job: good.Job[:25] + "-", Name: "a"},
		"job beyond 128 bits": {Job: "8" + good.Job[1:], Name: "a"},
		"lower case":          {Job: "01arz3ndektsv4rrffq69g5fav", Name: "a"},
		"job with a slash":    {Job: "../../../../../../../etc/p", Name: "a"},
		"no name":             {Job: good.Job},
		"name with dots":      {Job: good.Job, Name: ".."},
		"name with a slash":   {Job: good.Job, Name: "a/b"},
		"name of a device":    {Job: good.Job, Name: "NUL"},
	} {
		_, err := f.s.Put(f.Context(), k, "", bytes.NewReader([]byte("x")), 0)
		require.ErrorIs(f, err, artifact.ErrName, name)
		_, err = f.s.Open(f.Context(), k)
		require.ErrorIs(f, err, artifact.ErrName, name)
		require.ErrorIs(f, f.s.Remove(f.Context(), k), artifact.ErrName, name)
	}
	require.Zero(f, f.sweep(keepNone))
	f.clean()
}
