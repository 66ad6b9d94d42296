package artifact_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"a", "A", "0", "_", "-", "output.json", "a..b", "tar.gz", "-rf", "x-1_2.TXT", strings.Repeat("n", 128),
		"console", "con-1", "com", "com0", "com10", "lpt", "lpt0.txt", "xcon", "a.con", "nul_", "COMA",
	} {
		require.NoError(t, artifact.CheckName(name), "%q", name)
	}
	for _, name := range []string{
		"", ".", "..", "...", ".hidden", "../x", "..\\x", "a/b", "a\\b", "/a", "C:", "C:a", "a:b", "\\\\?\\a",
		"a.", "a ", " a", "a b", "a\x00", "a\nb", "a\x7f", "a%2fb", "a*", "a?", "a~1", "a\"b", "<a>", "a|b",
		"é", "日本", "\u202etxt", "a\xff", strings.Repeat("n", 129),
		"con", "CON", "Con.txt", "con.tar.gz", "prn", "aux", "AUX.c", "nul", "NUL.", "com1", "COM9.log", "lpt1", "LpT9",
		"CONIN$", "CONOUT$", "conin$.txt", "COM\u00b9",
	} {
		require.ErrorIs(t, artifact.CheckName(name), artifact.ErrName, "%q", name)
	}
}

// Names that differ only by case must not share a file where the file system
// ignores case, which the one that runs this test may not do.
func TestNamesThatDifferByCaseHaveFilesOfTheirOwn(t *testing.T) {
	d, dir := open(t)
	names := []string{"log", "Log", "lOg", "LOG", "a.txt", "A.TXT", "A.txt", strings.Repeat("N", 128), strings.Repeat("n", 128)}
	for i, name := range names {
		put(t, d, key(1, 1, name), []byte{byte(i)})
	}
	folded := map[string]bool{}
	for _, file := range files(t, dir) {
		require.LessOrEqual(t, len(filepath.Base(file)), 209)
		folded[strings.ToLower(file)] = true
	}
	require.Len(t, folded, len(names))
	for i, name := range names {
		require.Equal(t, []byte{byte(i)}, get(t, d, key(1, 1, name)), name)
	}
	removed, err := d.Sweep(t.Context(), func(string, uint64) (bool, error) { return false, nil })
	require.NoError(t, err)
	require.Equal(t, len(names), removed)
}

func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"a.txt", "../x", "a/b", `a\b`, ".hidden", "NUL", "con.txt", "..", "é", "a.", "x~1", "C:x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := artifact.CheckName(name); err != nil {
			require.ErrorIs(t, err, artifact.ErrName)
			return
		}
		require.True(t, filepath.IsLocal(name))
		require.Equal(t, name, filepath.Base(filepath.Clean(name)))
		require.NotContains(t, name, "/")
		require.NotContains(t, name, `\`)
		require.NotContains(t, name, ":")
		require.Equal(t, name, strings.Trim(name, ". "))
		require.True(t, 1 <= len(name) && len(name) <= 128)
		base, _, _ := strings.Cut(strings.ToLower(name), ".")
		require.NotContains(t, []string{"con", "prn", "aux", "nul", "com1", "com5", "com9", "lpt1", "lpt5", "lpt9"}, base)
	})
}
