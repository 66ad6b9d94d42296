//go:build !linux

package pgtest

import "testing"

// Hang is for Linux, where the processes of a server can be found.
func (s *Server) Hang(tb testing.TB) (goOn func()) {
	tb.Skip("a server can be made to stand still on Linux only")
	return nil
}
