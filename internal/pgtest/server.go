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

	"github.com/foreman-go/foreman/internal/need"
)

// Server is a private PostgreSQL.
type Server struct {
	URL string // of its database

	bin  string // the directory with its programs
	dir  string // its own: data, socket and log
	port string
	cmd  *exec.Cmd
	pipe io.WriteCloser // of which the shell that watches over it reads
}

const (
	initPatience  = 2 * time.Minute
	startPatience = time.Minute
)

// watch starts the server and stops it when told to, or when whoever started it has gone:
// then nothing more can be read. Unless it is to be started again, its directory goes too.
const watch = `
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 >>"$2/log" 2>&1 &
pid=$!
read -r how
if [ "$how" = crash ]; then kill -QUIT $pid; else kill -INT $pid; fi
wait $pid
[ -n "$how" ] || rm -rf "$2"
`

// programs is the directory with initdb and postgres. The newest is taken.
func programs(tb testing.TB) string {
	tb.Helper()
	advice := "install PostgreSQL 14 or later (apt-get install postgresql), or set " + Variable + " to the URL of a database, to test the store in PostgreSQL"
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real)
		}
	}
	return filepath.Dir(need.File(tb, advice, "/usr/lib/postgresql/[1-9]*/bin/initdb", "/usr/local/pgsql/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb"))
}

func start(bin string) (*Server, error) {
	dir, err := os.MkdirTemp("", "foreman-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	if err = s.init(); err == nil {
		for range 3 { // somebody may be quicker to take the port
			if err = s.choosePort(); err == nil {
				err = s.start()
			}
			if err == nil {
				return s, nil
			}
		}
	}
	_ = os.RemoveAll(dir) // it may be gone already
	return nil, fmt.Errorf("cannot start a private PostgreSQL: %w", err)
}

func (s *Server) init() error {
	if err := giveAway(s.dir); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), initPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"),
		"-U", "foreman", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	s.prepare(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) prepare(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.SysProcAttr = asNobody()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func (s *Server) choosePort() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, s.port, err = net.SplitHostPort(l.Addr().String())
	s.URL = "postgres://foreman@127.0.0.1:" + s.port + "/postgres?sslmode=disable"
	return errors.Join(err, l.Close())
}

func (s *Server) start() error {
	cmd := exec.Command("/bin/sh", "-c", watch, "sh", s.bin, s.dir, s.port)
	s.prepare(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	begun := len(s.logged())
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.pipe = cmd, pipe
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		if log := s.logged()[begun:]; ctx.Err() != nil || strings.Contains(log, "could not bind") || strings.Contains(log, "could not create") {
			return errors.Join(err, s.stop("again"), errors.New(log))
		}
		<-tick.C
	}
}

func (s *Server) logged() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log")) // it may not be there yet
	return string(b)
}

// stop tells the shell how to stop the server, and waits for it.
func (s *Server) stop(how string) error {
	if s.cmd == nil {
		return nil
	}
	_, err := io.WriteString(s.pipe, how+"\n")
	_ = s.cmd.Wait() // it tells how the server has ended, which a crash makes bad
	s.cmd = nil
	return err
}

// end stops the server for good.
func (s *Server) end() error {
	if s.cmd != nil {
		_ = s.pipe.Close() // it is only to be gone
		_ = s.cmd.Wait()
		s.cmd = nil
	}
	return os.RemoveAll(s.dir)
}
