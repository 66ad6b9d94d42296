package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inGroup keeps a Ctrl-C that is meant for this process from the program.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// wait waits for the end of the program. What that has left behind cannot be found.
func (p *process) wait() error {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	return err
}

// stopGroup ends the program and its children, which cannot be asked to.
func stopGroup(p *os.Process, _ bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tool := filepath.Join(os.Getenv("SystemRoot"), "System32", "taskkill.exe")
	_ = exec.CommandContext(ctx, tool, "/T", "/F", "/PID", strconv.Itoa(p.Pid)).Run() // the rest is a best effort
	return p.Kill()
}

// readNow is not called, since a pipe has no deadlines here: see source.last.
func readNow(*os.File, []byte) (int, error) { return 0, io.EOF }

// refuseProgram refuses scripts of cmd.exe, which takes arguments apart by rules of its
// own, so that a value could become a command.
func refuseProgram(path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".bat", ".cmd":
		return fmt.Errorf("%s is a script of cmd.exe, which arguments cannot be passed to safely: set Path to a program", path)
	}
	return nil
}
