// Package postgres keeps Foreman's records in PostgreSQL, so that many processes
// share one queue.
//
// As in package store/bolt, whatever waits in a process to be written becomes one
// transaction: a lone caller pays one commit, and many callers share one. Processes
// do not wait for each other but where they change the same record: claims pass over
// what others are claiming, numbers are kept in a slot for each process, and the feed
// is put in order without a common lock (docs/adr/0031).
//
// Every time that is given by nobody, and every comparison with the present time, is
// by the clock of the database. Leases of a process that has died run out: opening
// the store ends none.
//
// PostgreSQL 14 or newer is needed; the tables are made, and brought up to date, by
// Open.
package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/foreman-go/foreman/store"
)

// Options are for [Open]. Nil stands for the zero value.
type Options struct {
	// Schema is the name of the schema that holds the tables. It is made if it is not
	// there, and is to hold nothing else. Of at most 40 small letters, digits and "_", not
	// beginning with a digit or "pg_", and neither "public" nor a word of SQL. If Schema is
	// empty, "foreman" is used.
	Schema string
	// MaxConns bounds the connections of this process, beside one for each Subscribe,
	// from 2 to 10,000. If MaxConns is 0, 8 is used.
	MaxConns int
	// PollOnly uses nothing that lasts longer than a transaction, as is needed behind
	// PgBouncer in transaction mode: no prepared statements, and no LISTEN, so that the
	// store is no [store.Messenger]. Statements are planned each time. Default: false.
	PollOnly bool
	// Logger is told of what goes wrong where there is no caller to tell. If Logger is
	// nil, nothing is logged.
	Logger *slog.Logger

	local func() time.Time // the clock of this process, if it is not the machine's
}

const (
	defaultSchema   = "foreman"
	defaultMaxConns = 8
	maxSchema       = 40
)

// Store is a [store.Store] in a schema of a PostgreSQL database.
type Store struct {
	pool     *pgxpool.Pool
	schema   string // as it was given
	class    int32  // of the advisory locks of this schema
	places   int32  // the class of those that announce positions of the feed
	slot     int16  // of counts
	name     string // of this process, among those who send messages
	pollOnly bool
	log      *slog.Logger

	clock   clock
	w       writer
	tidy    tidier
	mail    mailbox
	queries sync.Map // by what was written, with the schema put in

	life    context.Context // ends at Close
	end     context.CancelFunc
	closing sync.Once
}

// Messenger is a Store that carries messages too, by LISTEN and NOTIFY.
type Messenger struct{ *Store }

var (
	_ store.Store     = (*Store)(nil)
	_ store.Messenger = Messenger{}
)

// Open connects to a database, named by a URL such as
// postgres://user@host/database?sslmode=verify-full, and makes or brings up to date
// the tables in the schema. The URL is one that libpq knows, so that psql and pg_dump take
// it too; settings of a pool are in the Options. Every @ in it but the one before the host
// is to be percent-encoded.
//
// The store is a [Messenger], or a [*Store] if [Options.PollOnly] is set.
//
// It refuses, with a sentence that says what to do, a schema that a newer version has
// written. The error wraps [store.ErrUnavailable] when the server cannot be reached, which
// may pass. It wraps [store.ErrInvalid] when the schema or the URL is wrong: it cannot be
// read, there is no such host, database or user, the password is another one, the server
// has not the TLS that the URL asks for, or a PgBouncer does not know a setting in it. No
// error has a password in it.
func Open(ctx context.Context, url string, o *Options) (store.Store, error) {
	s, err := open(ctx, url, o)
	switch {
	case err != nil:
		return nil, err
	case s.pollOnly:
		return s, nil
	}
	return Messenger{s}, nil
}

func open(ctx context.Context, url string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Store{
		schema: o.Schema, pollOnly: o.PollOnly, log: o.Logger,
		clock: clock{local: o.local},
		slot:  int16(rand.IntN(slots)), name: fmt.Sprintf("%016x", rand.Uint64()),
	}
	if s.schema == "" {
		s.schema = defaultSchema
	}
	if !isSchema(s.schema) {
		return nil, fmt.Errorf("%w: a schema of its own is named by at most %d small letters, digits and _, beginning with neither a digit nor pg_: %q", store.ErrInvalid, maxSchema, s.schema)
	}
	if s.clock.local == nil {
		s.clock.local = steady()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.class, s.places = classesOf(s.schema)
	pool, err := s.connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	s.pool = pool
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		if isMistaken(err) {
			return nil, fmt.Errorf("%w: %w", store.ErrInvalid, brief(err))
		}
		return nil, fmt.Errorf("schema %s: %w", s.schema, classify(err))
	}
	if err := s.read(ctx, false, func(*pgx.Batch) {}); err != nil { // to know the time
		pool.Close()
		return nil, err
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.w.idle.L = &s.w.mu
	return s, nil
}

// Close waits for the writes on their way, then closes the connections.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.w.stop()
		s.end()
		s.tidy.wait()
		s.mail.stop()
		s.pool.Close()
	})
	return nil
}

// enter says whether a call can be made.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.w.isClosed() {
		return store.ErrClosed
	}
	return nil
}

// sql puts the name of the schema into a statement, where it has "@.".
func (s *Store) sql(text string) string {
	if q, ok := s.queries.Load(text); ok {
		return q.(string)
	}
	q := strings.ReplaceAll(text, "@.", s.schema+".")
	s.queries.Store(text, q)
	return q
}

// classesOf are the first numbers of the advisory locks of a schema: of those that have
// names, and of those that are positions of the feed, which may have any second number.
func classesOf(schema string) (class, places int32) {
	h := fnv.New32a()
	_, _ = h.Write([]byte("foreman " + schema)) // never fails
	class = int32(h.Sum32()>>1) &^ 1
	return class, class | 1
}

// isSchema keeps to names that need no quotes, unless they are words of SQL, and to schemas
// that hold nothing of others.
func isSchema(name string) bool {
	if name == "public" || name == "information_schema" || strings.HasPrefix(name, "pg_") {
		return false
	}
	for i, c := range name {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= maxSchema
}

// micro is a time as it is kept.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
