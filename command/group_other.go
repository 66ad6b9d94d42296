//go:build unix && !linux

package command

import (
	"os/exec"
	"syscall"
)

// inGroup gives the program a process group of its own.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// wait waits for the end of the program, and kills what is left of its group. Nothing
// short of a system call that the standard library does not offer would keep another
// group from having the number for the moment between the two.
func (p *process) wait() error {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = stopGroup(p.cmd.Process, true) // nobody may be left
	p.gone = true
	return err
}
