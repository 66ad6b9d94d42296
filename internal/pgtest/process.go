package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// process is a private server, which listens on loopback and ends with the test.
type process struct {
	name    string    // of the program, for people
	signals [2]string // what has it end: well, and as if it had died

	dir  string // its own: its files and its log
	port string
	cmd  *exec.Cmd
	pipe io.WriteCloser // of which the shell that watches over it reads
}

const startPatience = time.Minute

// watch starts a program and stops it when told to, or when whoever started it has gone:
// then nothing more can be read. Unless it is to be started again, its directory goes too.
const watch = `
dir=$1 well=$2 crash=$3
shift 3
"$@" >>"$dir/log" 2>&1 &
pid=$!
read -r how
if [ "$how" = crash ]; then kill -s "$crash" $pid; else kill -s "$well" $pid; fi
wait $pid
[ -n "$how" ] || rm -rf "$dir"
`

// make makes the directory, has init fill it, and starts the server on a port of its own.
func (p *process) make(init, start func() error) error {
	dir, err := os.MkdirTemp("", "foreman-"+strings.ToLower(p.name)+"-")
	if err != nil {
		return err
	}
	p.dir = dir
	if err = errors.Join(giveAway(dir), init()); err == nil {
		for range 3 { // somebody may be quicker to take the port
			if err = p.choosePort(); err == nil {
				err = start()
			}
			if err == nil {
				return nil
			}
		}
	}
	_ = os.RemoveAll(dir) // it may be gone already
	return fmt.Errorf("cannot start a private %s: %w", p.name, err)
}

func (p *process) choosePort() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, p.port, err = net.SplitHostPort(l.Addr().String())
	return errors.Join(err, l.Close())
}

// at is the URL of a database of the server.
func (p *process) at(database string) string {
	return "postgres://foreman@127.0.0.1:" + p.port + "/" + database + "?sslmode=disable"
}

func (p *process) prepare(cmd *exec.Cmd) {
	cmd.Dir = p.dir
	cmd.SysProcAttr = asNobody()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// run runs the command of the server, and waits until there is a connection to be had.
func (p *process) run(url, name string, args ...string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", watch, "sh", p.dir, p.signals[0], p.signals[1], name}, args...)...)
	p.prepare(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	begun := len(p.logged())
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.pipe = cmd, pipe
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn.Close(ctx)
		}
		if log := p.logged()[begun:]; ctx.Err() != nil || hasFailed(log) {
			return errors.Join(err, p.stop("again"), errors.New(log))
		}
		<-tick.C
	}
}

// hasFailed reports whether a server that says this does not listen.
func hasFailed(log string) bool {
	return strings.Contains(log, "could not bind") || strings.Contains(log, "could not create") || strings.Contains(log, "] FATAL ")
}

func (p *process) logged() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log")) // it may not be there yet
	return string(b)
}

// stop tells the shell how to stop the server, and waits for it.
func (p *process) stop(how string) error {
	if p.cmd == nil {
		return nil
	}
	_, err := io.WriteString(p.pipe, how+"\n")
	_ = p.cmd.Wait() // it tells how the server has ended, which a crash makes bad
	p.cmd = nil
	return err
}

// end stops the server for good.
func (p *process) end() error {
	if p.cmd != nil {
		_ = p.pipe.Close() // it is only to be gone
		_ = p.cmd.Wait()
		p.cmd = nil
	}
	return os.RemoveAll(p.dir)
}

// endWith ends the server with a test.
func (p *process) endWith(tb testing.TB) {
	tb.Cleanup(func() {
		if err := p.end(); err != nil {
			tb.Errorf("the private %s did not end well: %v", p.name, err)
		}
	})
}

func (p *process) must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(fmt.Errorf("the private %s: %w", p.name, err))
	}
}
