package pgtest

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby starts a server that follows this one and only reads, until it is promoted. It
// ends with the test.
func (s *Server) Standby(tb testing.TB) *Server {
	tb.Helper()
	standby := newServer(s.bin)
	s.must(tb, standby.make(func() error { return standby.copy(tb.Context(), s.URL) }, standby.start))
	standby.endWith(tb)
	return standby
}

// copy makes the files of a standby of the server with a URL.
func (s *Server) copy(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, initPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "pg_basebackup"), "-d", url, "-D", filepath.Join(s.dir, "data"),
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	s.prepare(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	return nil
}

// CatchUp waits until a standby has all that has been committed here.
func (s *Server) CatchUp(tb testing.TB, standby *Server) {
	tb.Helper()
	var here string
	s.must(tb, one(tb.Context(), s.URL, "SELECT pg_current_wal_lsn()::text", &here))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for there := false; !there; <-tick.C {
		s.must(tb, one(tb.Context(), standby.URL, "SELECT coalesce(pg_last_wal_replay_lsn() >= '"+here+"', false)", &there))
	}
}

// Promote has a standby be a server of its own, that writes.
func (s *Server) Promote(tb testing.TB) {
	tb.Helper()
	var done bool
	s.must(tb, one(tb.Context(), s.URL, "SELECT pg_promote()", &done))
	if !done {
		tb.Fatal("the standby was not promoted in a minute")
	}
}

// one reads one value.
func one(ctx context.Context, url, query string, to any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // it has done its work
	return conn.QueryRow(ctx, query).Scan(to)
}
