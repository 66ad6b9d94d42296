// Package pgtest gives tests a PostgreSQL of their own: a private server, made from the
// installed programs, that ends with the test. Its settings are those that it comes
// with, but for where it listens. A PgBouncer may be put before it.
package pgtest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable with the URL of a server that is to be used
// instead of a private one. Each test makes a schema in its database, and drops it.
const Variable = "FOREMAN_TEST_POSTGRES_URL"

var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// URL is that of a database which all tests of this process share. The server is started
// once, and ends with the process, however that ends. A test that needs it is skipped if
// PostgreSQL is not installed, and fails in CI.
func URL(tb testing.TB) string {
	tb.Helper()
	if url := os.Getenv(Variable); url != "" {
		return url
	}
	bin := programs(tb)
	shared.once.Do(func() { shared.server, shared.err = start(bin) })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server.URL
}

// Schema is a name for a schema that nobody else uses. What is there when the test ends
// is dropped.
func Schema(tb testing.TB, url string) string {
	tb.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE")
			_ = conn.Close(ctx) // whatever it says, the test is over
		}
		if err != nil {
			tb.Logf("schema %s stays: %v", name, err)
		}
	})
	return name
}

// Place names a schema of a server in one string, as a test of a store wants it; Split
// takes it apart. Whoever uses the URL is known to the server by the schema.
func Place(tb testing.TB) string {
	tb.Helper()
	url := URL(tb)
	schema := Schema(tb, url)
	return schema + " " + named(url, schema)
}

func named(url, name string) string {
	mark := "?"
	if strings.Contains(url, "?") {
		mark = "&"
	}
	return url + mark + "application_name=" + name
}

// Settled waits until nobody is connected to a place any more: what a process that was
// killed had sent may still be under way after its death.
func Settled(tb testing.TB, place string) {
	tb.Helper()
	url, schema := Split(place)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, named(url, "pgtest")) // the last one counts
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // it has done its work
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 1; n > 0; <-tick.C {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", schema).Scan(&n); err != nil {
			tb.Fatal(err)
		}
	}
}

// Split takes apart what Place has made.
func Split(place string) (url, schema string) {
	schema, url, _ = strings.Cut(place, " ")
	return url, schema
}

// Start starts a server for one test alone, which can stop it.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := start(programs(tb))
	if err != nil {
		tb.Fatal(err)
	}
	s.endWith(tb)
	return s
}
