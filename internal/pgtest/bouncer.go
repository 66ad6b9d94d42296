package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/foreman-go/foreman/internal/need"
)

// Bouncer is a private PgBouncer in transaction mode.
type Bouncer struct {
	URL string // of the database behind it

	process
	program string
	server  string // the URL of the database
	conns   int
}

// sharedConns is how many connections to the server all tests share: so few that a
// transaction is on another one than the last.
const sharedConns = 4

var pooled struct {
	once    sync.Once
	bouncer *Bouncer
	err     error
}

// HasBouncer reports whether PgBouncer is installed.
func HasBouncer() bool {
	_, err := bouncerProgram()
	return err == nil
}

// bouncerProgram may be where only an administrator looks for programs.
func bouncerProgram() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/pgbouncer")
}

func needBouncer(tb testing.TB) string {
	tb.Helper()
	path, err := bouncerProgram()
	need.Must(tb, err, "install PgBouncer (apt-get install pgbouncer), to test the store in PostgreSQL behind it")
	return path
}

// StartBouncer starts a PgBouncer for one test alone, before the server with a URL, to
// which it has so many connections at most. A test that needs it is skipped if PgBouncer
// is not installed, and fails in CI.
func StartBouncer(tb testing.TB, url string, conns int) *Bouncer {
	tb.Helper()
	b, err := startBouncer(needBouncer(tb), url, conns)
	if err != nil {
		tb.Fatal(err)
	}
	b.endWith(tb)
	return b
}

// PooledPlace is a Place that is reached through a PgBouncer, which all tests of this
// process share. It needs what URL and StartBouncer need.
func PooledPlace(tb testing.TB) string {
	tb.Helper()
	url, program := URL(tb), needBouncer(tb)
	pooled.once.Do(func() { pooled.bouncer, pooled.err = startBouncer(program, url, sharedConns) })
	if pooled.err != nil {
		tb.Fatal(pooled.err)
	}
	schema := Schema(tb, url)
	return schema + " " + named(pooled.bouncer.URL, schema)
}

// PooledSettled is Settled for a PooledPlace.
func PooledSettled(tb testing.TB, place string) {
	tb.Helper()
	_, schema := Split(place)
	pooled.bouncer.settle(tb, schema)
	Settled(tb, schema+" "+URL(tb))
}

func startBouncer(program, url string, conns int) (*Bouncer, error) {
	// What it would do before it ends is to wait for others.
	b := &Bouncer{program: program, server: url, conns: conns, process: process{name: "PgBouncer", signals: [2]string{"KILL", "KILL"}}}
	return b, b.make(func() error { return nil }, b.start)
}

// What differs from how it comes, but for where it listens, is the mode, how many there
// may be on either side, and that it soon tries again to reach a server that was down.
const bouncerSettings = `[databases]
%s = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
admin_users = foreman
pool_mode = transaction
default_pool_size = %d
max_client_conn = 500
server_login_retry = 1
`

func (b *Bouncer) start() error {
	c, err := pgx.ParseConfig(b.server)
	if err != nil {
		return err
	}
	to := ""
	for _, s := range [][2]string{{"host", c.Host}, {"port", fmt.Sprint(c.Port)}, {"dbname", c.Database}, {"user", c.User}, {"password", c.Password}} {
		if s[1] != "" {
			to += s[0] + "='" + strings.ReplaceAll(s[1], "'", "''") + "' "
		}
	}
	file := filepath.Join(b.dir, "pgbouncer.ini")
	if err := os.WriteFile(file, fmt.Appendf(nil, bouncerSettings, c.Database, to, b.port, b.conns), 0o600); err != nil {
		return err
	}
	if err := giveAway(file); err != nil {
		return err
	}
	b.URL = b.at(c.Database)
	return b.run(b.console(), b.program, file)
}

// console is where it is administered.
func (b *Bouncer) console() string { return b.at("pgbouncer") }

// Stop stops it: whoever is connected is cut off.
func (b *Bouncer) Stop(tb testing.TB) { b.must(tb, b.stop("stop")) }

// Start starts it again, where it was.
func (b *Bouncer) Start(tb testing.TB) { b.must(tb, b.start()) }

// settle waits until nobody of a name is connected, and has each connection to the server
// closed that is not in use: none in use is theirs by then, and on those that are closed
// already the server may still be at what it was sent.
func (b *Bouncer) settle(tb testing.TB, name string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, b.console())
	b.must(tb, err)
	defer func() { _ = conn.Close(ctx) }() // it has done its work
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 1; n > 0; <-tick.C {
		n, err = countClients(ctx, conn, name)
		b.must(tb, err)
	}
	_, err = conn.Exec(ctx, "RECONNECT").ReadAll()
	b.must(tb, err)
}

func countClients(ctx context.Context, conn *pgconn.PgConn, name string) (n int, err error) {
	results, err := conn.Exec(ctx, "SHOW CLIENTS").ReadAll()
	if err != nil {
		return 0, err
	}
	for _, r := range results {
		for i, f := range r.FieldDescriptions {
			if f.Name != "application_name" {
				continue
			}
			for _, row := range r.Rows {
				if string(row[i]) == name {
					n++
				}
			}
		}
	}
	return n, nil
}
