package postgres

import (
	"cmp"
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

// limits bound what a transaction waits for. A lock is not waited for longer than a few
// transactions take, so that who has locked a record keeps nobody from others. And a
// process that was stopped in the middle of a transaction, or whose machine has gone,
// gives up its locks before a lease is to be renewed.
var limits = [...]string{"lock_timeout = 1s", "idle_in_transaction_session_timeout = 3s"}

// setSession makes limits and plans those of a connection, and has a statement planned
// once, not for the values of each call; setTransaction does the same for one transaction.
// Either has what was committed survive a loss of power, if the server is not to by itself.
var setSession, setTransaction = settings()

func settings() (session, transaction string) {
	session = "SET plan_cache_mode = force_generic_plan"
	transaction = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
	session += "; " + strings.Replace(transaction, "true", "false", 1)
	transaction = "SELECT (" + transaction + ")"
	set := func(name, value string) {
		session += fmt.Sprintf("; SET %s = '%s'", name, value)
		transaction += fmt.Sprintf(", set_config('%s', '%s', true)", name, value)
	}
	for _, limit := range limits {
		name, value, _ := strings.Cut(limit, " = ")
		set(name, value)
	}
	for _, name := range plans {
		set(name, "off")
	}
	return session, transaction
}

func (s *Store) connect(ctx context.Context, url string, o *Options) (*pgxpool.Pool, error) {
	c, err := parse(url)
	if err != nil {
		return nil, err
	}
	c.MaxConns = int32(min(max(cmp.Or(o.MaxConns, defaultMaxConns), 2), 10_000)) // one may be cleaning up
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
		err = s.send(timed, func(b *pgx.Batch) {
			b.Queue(begin)
			if s.pollOnly {
				b.Queue(setTransaction)
			}
			if s.clock.isStale() {
				s.queueTime(b, func(time.Time) {})
			}
			queue(b)
			b.Queue("COMMIT")
		})
		if err == nil || !isPassing(err) || isRefused(err) || timed.Err() != nil {
			break
		}
	}
	return s.tell(ctx, err)
}

// send sends what queue queues, once there is a connection.
func (s *Store) send(ctx context.Context, queue func(*pgx.Batch)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	queue(b)
	err = conn.SendBatch(ctx, b).Close()
	release(conn, err)
	return err
}

// release gives a connection back to the pool, after what was done with it has ended with
// err; if it is broken, or leads to a server that only reads by now, as after a failover,
// another takes its place. The pool would wait until the server has answered that it is
// closed, for a quarter of a minute.
func release(conn *pgxpool.Conn, err error) {
	c := conn.Conn()
	switch {
	case c.IsClosed():
		conn.Hijack()
	case isReadOnly(err) || c.PgConn().IsBusy() || c.PgConn().TxStatus() != 'I':
		conn.Hijack()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx) // it is of no use any more
	default:
		conn.Release()
	}
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
