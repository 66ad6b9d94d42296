package command

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// inGroup gives the program a process group of its own, and has it killed when the thread
// that starts it ends, and so with this process.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// wait waits for the end of the program, and kills what is left of its group. It does so
// before it takes note of the end for good, since until then no other group can have the
// number.
func (p *process) wait() error {
	for errors.Is(unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	p.mu.Lock()
	_ = stopGroup(p.cmd.Process, true) // nobody may be left
	p.gone = true
	p.mu.Unlock()
	return p.cmd.Wait()
}
