package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// AskForPasswords has the server, which trusts everybody, ask a role for its password.
func (s *Server) AskForPasswords(tb testing.TB, role string) {
	tb.Helper()
	file := filepath.Join(s.dir, "data", "pg_hba.conf")
	rules, err := os.ReadFile(file)
	s.must(tb, err)
	s.must(tb, os.WriteFile(file, append(fmt.Appendf(nil, "host all %s 127.0.0.1/32 scram-sha-256\n", role), rules...), 0o600))
	s.must(tb, errors.Join(s.stop("again"), s.start()))
}
