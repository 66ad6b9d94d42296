//go:build unix

package command

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// stopGroup sends SIGTERM or SIGKILL to the process group of a program that has not been
// waited for.
func stopGroup(p *os.Process, hard bool) error {
	s := syscall.SIGTERM
	if hard {
		s = syscall.SIGKILL
	}
	err := syscall.Kill(-p.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// readNow reads what is in a pipe, and says that it has ended if that is nothing.
func readNow(f *os.File, p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, io.EOF
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, io.EOF
	}
	rawErr := raw.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.Read(int(fd), p)
			if !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	if rawErr != nil || err != nil || n <= 0 {
		return 0, io.EOF // nothing is there, or nobody can write to it any more
	}
	return n, nil
}

// refuseProgram has nothing against any program here.
func refuseProgram(string) error { return nil }
