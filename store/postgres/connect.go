package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/foreman-go/foreman/store"
)

// connectTimeout bounds one attempt to connect, if the URL does not.
const connectTimeout = 5 * time.Second

// plans keeps the planner to the indexes, whatever the statistics say or whether there
// are any: every statement here is made to walk one.
var plans = [...]string{
	"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "enable_sort", "enable_material", "jit",
}

// idle bounds how long the server waits in the middle of a transaction for a process
// that was stopped, or whose machine has gone, before it gives up its locks.
const idle = "idle_in_transaction_session_timeout"

// setSession makes plans those of a connection, and has a statement planned once, not
// for the values of each call.
var setSession = "SET " + idle + " = '5s'; SET plan_cache_mode = force_generic_plan; SET " + strings.Join(plans[:], " = off; SET ") + " = off"

// setTransaction is the same for one transaction.
var setTransaction = "SELECT set_config('" + idle + "', '5s', true), set_config('" + strings.Join(plans[:], "', 'off', true), set_config('") + "', 'off', true)"

func (s *Store) connect(ctx context.Context, url string, o *Options) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	switch {
	case o.MaxConns > 0:
		c.MaxConns = int32(min(o.MaxConns, 10_000))
	case !strings.Contains(url, "pool_max_conns"):
		c.MaxConns = defaultMaxConns
	}
	c.MaxConns = max(c.MaxConns, 2) // migrate needs two at once
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}
	if s.pollOnly {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	} else {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.PgConn().Exec(ctx, setSession).ReadAll()
			return err
		}
		if c.ConnConfig.RuntimeParams["application_name"] == "" {
			c.ConnConfig.RuntimeParams["application_name"] = "foreman"
		}
	}
	c.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			s.log.Warn("the database warns", "message", n.Message)
		}
	}
	return pgxpool.NewWithConfig(ctx, c)
}

// read sends statements as one transaction that changes nothing, in one round trip. It
// sees one state of the database for all of them if repeatable is set, and else the
// latest for each.
func (s *Store) read(ctx context.Context, repeatable bool, queue func(*pgx.Batch)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	begin := "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
	if repeatable {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	var err error
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range attempts { // a batch can be sent once only
		b := &pgx.Batch{}
		b.Queue(begin)
		if s.pollOnly {
			b.Queue(setTransaction)
		}
		if s.clock.isStale() {
			s.queueTime(b, func(time.Time) {})
		}
		queue(b)
		b.Queue("COMMIT")
		if err = s.send(timed, b); err == nil || !isPassing(err) || isRefused(err) || timed.Err() != nil {
			break
		}
	}
	return s.tell(ctx, err)
}

func (s *Store) send(ctx context.Context, b *pgx.Batch) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // which closes it if it is not idle
	return conn.SendBatch(ctx, b).Close()
}

// tell turns what went wrong into what the contract knows.
func (s *Store) tell(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.w.isClosed():
		return store.ErrClosed
	}
	return classify(err)
}
