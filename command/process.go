package command

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// process is a program that runs, with all that it has started.
type process struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	gone bool // its number may be another one's by now
}

// ending is what became of a program.
type ending struct {
	state *os.ProcessState
	// stopped says that the context had ended before the program did, which it may
	// have done for that reason, whatever its exit status is.
	stopped bool
}

// execute runs the program until it has ended, and returns when nothing of it can print
// any more. stdout and stderr read what it prints until there is no more.
func (b *Backend) execute(ctx context.Context, args []string, stdin []byte, stdout, stderr func(io.Reader)) (ending, error) {
	cmd := exec.CommandContext(ctx, b.o.Path, args...)
	p := &process{cmd: cmd}
	cmd.Dir, cmd.Env = b.o.Dir, b.env
	cmd.Cancel = func() error { return p.stop(b.o.GracePeriod < 0) }
	cmd.WaitDelay = max(b.o.GracePeriod, 0) // from then until it is killed
	inGroup(cmd)

	// The program is given files, and not writers that os/exec would copy to: it would
	// then wait for whoever has the other end, a process that was left behind too.
	var pipes pipes
	defer pipes.close()
	out, err := pipes.from(&cmd.Stdout)
	if err != nil {
		return ending{}, err
	}
	errs, err := pipes.from(&cmd.Stderr)
	if err != nil {
		return ending{}, err
	}
	in, err := pipes.to(&cmd.Stdin, stdin)
	if err != nil {
		return ending{}, err
	}

	// On Linux the program is killed when the thread that has started it ends. This one
	// stays until the program has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	pipes.closeTheirs()
	if err != nil {
		return ending{}, err
	}
	var copying sync.WaitGroup
	copying.Go(func() { stdout(out) })
	copying.Go(func() { stderr(errs) })
	copying.Go(func() { in.feed(stdin) })
	err = p.wait()
	e := ending{cmd.ProcessState, ctx.Err() != nil}
	out.last()
	errs.last()
	in.close()
	copying.Wait()
	if e.state == nil {
		return e, err // it could not be waited for
	}
	return e, nil
}

// stop asks the program and all that it has started to end, or ends them.
func (p *process) stop(hard bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return os.ErrProcessDone
	}
	return stopGroup(p.cmd.Process, hard)
}
