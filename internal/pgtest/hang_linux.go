package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Hang has the server stand still until the returned function is called, or the test
// ends: connections are accepted, and nothing is answered.
func (s *Server) Hang(tb testing.TB) (goOn func()) {
	tb.Helper()
	pids, err := s.processes()
	s.must(tb, err)
	s.must(tb, signal(pids, syscall.SIGSTOP))
	hung := true
	goOn = func() {
		if hung {
			hung = false
			s.must(tb, signal(pids, syscall.SIGCONT))
		}
	}
	tb.Cleanup(goOn)
	return goOn
}

// processes are those of the server, the first of which starts the others.
func (s *Server) processes() ([]int, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	first, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return nil, err
	}
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", first, first))
	if err != nil {
		return nil, err
	}
	pids := []int{first}
	for _, word := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func signal(pids []int, sig syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}
