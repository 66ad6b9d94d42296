package foreman_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
	link    = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
)

func documents(t *testing.T) []string {
	t.Helper()
	more, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	adrs, err := filepath.Glob("docs/adr/*.md")
	require.NoError(t, err)
	return append(append([]string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}, more...), adrs...)
}

// Every Go snippet of the documents stands in a program or a test, and so is compiled
// and run. The commands are run by a test of foremand.
func TestSnippetsAreReal(t *testing.T) {
	var sources []string
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || path == "docs_test.go" {
			return err
		}
		b, err := os.ReadFile(path)
		sources = append(sources, squeeze(string(b)))
		return err
	}))
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, m := range goBlock.FindAllStringSubmatch(string(text), -1) {
			found := false
			for _, s := range sources {
				found = found || strings.Contains(s, squeeze(m[1]))
			}
			require.True(t, found, "%s: no program has\n%s", doc, m[1])
		}
	}
}

// squeeze takes no notice of how lines are indented, and of comments before a line.
func squeeze(code string) string {
	var out []string
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// Links between the documents lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "://") {
				require.FileExists(t, orDir(filepath.Join(filepath.Dir(doc), m[1])), "in %s", doc)
			}
		}
	}
}

// orDir names a file that there is if path is a directory with something in it.
func orDir(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) == 0 {
		return path
	}
	for _, e := range entries {
		if !e.IsDir() {
			return filepath.Join(path, e.Name())
		}
	}
	return filepath.Join(path, "README.md")
}
