// Package need says what a test needs beside Go. Where that is missing, the test is
// skipped with a sentence on what to install; in CI, it fails.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program needs a program; advice says how it comes, and what for.
func Program(tb testing.TB, name, advice string) {
	tb.Helper()
	_, err := exec.LookPath(name)
	Must(tb, err, advice)
}

// Node needs Node, and the packages that are locked in a directory; what says what
// for.
func Node(tb testing.TB, dir, what string) {
	tb.Helper()
	advice := "install node 18 or later, and run npm ci in " + dir + ", " + what
	Program(tb, "node", advice)
	_, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	Must(tb, err, advice)
}

// Must needs that there was no error in getting what the test needs.
func Must(tb testing.TB, err error, advice string) {
	tb.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		tb.Fatalf("%s: %v", advice, err)
	default:
		tb.Skipf("%s: %v", advice, err)
	}
}
