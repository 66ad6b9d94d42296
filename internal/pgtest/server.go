package pgtest

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/foreman-go/foreman/internal/need"
)

// Server is a private PostgreSQL.
type Server struct {
	URL string // of its database

	process
	bin string // the directory with its programs
}

const initPatience = 2 * time.Minute

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
	s := newServer(bin)
	return s, s.make(s.init, s.start)
}

func newServer(bin string) *Server {
	return &Server{bin: bin, process: process{name: "PostgreSQL", signals: [2]string{"INT", "QUIT"}}}
}

func (s *Server) init() error {
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

func (s *Server) start() error {
	s.URL = s.at("postgres")
	return s.run(s.URL, filepath.Join(s.bin, "postgres"),
		"-D", filepath.Join(s.dir, "data"), "-p", s.port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1")
}

// Stop stops the server as an administrator does: whoever is connected is told.
func (s *Server) Stop(tb testing.TB) { s.must(tb, s.stop("stop")) }

// Crash stops the server as if it had died: what it has not made durable is lost.
func (s *Server) Crash(tb testing.TB) { s.must(tb, s.stop("crash")) }

// Start starts the server again, where it was.
func (s *Server) Start(tb testing.TB) { s.must(tb, s.start()) }
