package postgres_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// hole forwards connections to a server, until it swallows what they say.
type hole struct {
	l   net.Listener
	to  string
	all sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	quiet *bool // shared by the connections that there are
	deaf  bool  // new ones are swallowed too
}

// newHole returns a hole before a server, and the URL by which it is reached.
func newHole(t *testing.T, server string) (*hole, string) {
	at, err := url.Parse(server)
	require.NoError(t, err)
	h := &hole{to: at.Host, quiet: new(bool)}
	h.l, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at.Host = h.l.Addr().String()
	h.all.Go(h.accept)
	t.Cleanup(func() {
		_ = h.l.Close() // which ends accept
		h.mu.Lock()
		for _, c := range h.conns {
			_ = c.Close() // which ends the pipes
		}
		h.mu.Unlock()
		h.all.Wait()
	})
	return h, at.String()
}

func (h *hole) accept() {
	for {
		in, err := h.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", h.to)
		if err != nil {
			_ = in.Close() // it says as much
			continue
		}
		h.mu.Lock()
		h.conns = append(h.conns, in, out)
		quiet := h.quiet
		if h.deaf {
			quiet = new(bool)
			*quiet = true
		}
		h.mu.Unlock()
		for _, x := range [][2]net.Conn{{in, out}, {out, in}} {
			h.all.Go(func() { h.pipe(x[1], x[0], quiet) })
		}
	}
}

func (h *hole) pipe(to, from net.Conn, quiet *bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		h.mu.Lock()
		swallow := *quiet
		h.mu.Unlock()
		if swallow {
			_, _ = io.Copy(io.Discard, from) // until the test ends, or they give up
			return
		}
		if _, failed := to.Write(buf[:n]); failed != nil || err != nil {
			_ = to.Close() // the other pipe ends
			return
		}
	}
}

// swallow makes the connections that there are lead nowhere, and new ones too if deaf.
func (h *hole) swallow(deaf bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.quiet = true
	h.quiet, h.deaf = new(bool), deaf
}

// heal forwards new connections again.
func (h *hole) heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf = false
}

// All connections lead nowhere, without a word, as after a machine has gone: calls end in
// time, and leave room for those that find the way again, at once.
func TestConnectionsLeadNowhere(t *testing.T) {
	for name, deaf := range map[string]bool{"those there are": false, "new ones too": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, at := newHole(t, pgtest.Start(t).URL)
			s := open(t, at, &postgres.Options{MaxConns: 3})
			insert(t, s, job("owner"))
			fill := func() (errs []error) {
				var mu sync.Mutex
				var all sync.WaitGroup
				for i := range 6 {
					all.Go(func() {
						var err error
						if i%2 == 0 {
							_, err = s.Paused(t.Context())
						} else {
							_, err = s.Insert(t.Context(), []store.Insertion{job("owner")})
						}
						mu.Lock()
						defer mu.Unlock()
						errs = append(errs, err)
					})
				}
				all.Wait()
				return errs
			}
			for _, err := range fill() {
				require.NoError(t, err)
			}
			h.swallow(deaf)
			begun := time.Now()
			for _, err := range fill() {
				require.True(t, err == nil && !deaf || errors.Is(err, store.ErrUnavailable), err)
			}
			require.Less(t, time.Since(begun), 10*time.Second)
			h.swallow(false)
			begun = time.Now()
			eventually(t, "calls to work", func() bool {
				_, err := s.Insert(t.Context(), []store.Insertion{job("owner")})
				return err == nil
			})
			require.Less(t, time.Since(begun), 6*time.Second, "no more than it takes to connect")
		})
	}
}

// After a failover the old server only reads: who finds that out looks for the new one.
func TestReadOnlyServer(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.URL, &postgres.Options{MaxConns: 2})
	sql(t, server.URL, "ALTER DATABASE postgres SET default_transaction_read_only = on")
	sql(t, server.URL, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'foreman'")
	for range 3 {
		_, err := s.Insert(t.Context(), []store.Insertion{job("owner")})
		require.ErrorIs(t, err, store.ErrUnavailable)
		require.ErrorIs(t, s.Pause(t.Context(), store.Pause{All: true}), store.ErrUnavailable)
	}
	writes := server.URL + "&options=" + url.QueryEscape("-cdefault_transaction_read_only=off")
	sql(t, writes, "ALTER DATABASE postgres RESET default_transaction_read_only")
	insert(t, s, job("owner")) // not on a connection of before
	require.NoError(t, s.Resume(t.Context(), store.Pause{All: true}))
}

// What was confirmed survives a loss of power, whatever the server is set to.
func TestCommitsAreDurable(t *testing.T) {
	server := pgtest.Start(t)
	require.NoError(t, open(t, server.URL, nil).Close())
	sql(t, server.URL, `CREATE FUNCTION durable() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('synchronous_commit') <> 'on' THEN RAISE EXCEPTION 'it is not durable'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER durable BEFORE INSERT ON foreman.heads FOR EACH ROW EXECUTE FUNCTION durable();
		CREATE TRIGGER durable BEFORE INSERT ON foreman.paused FOR EACH ROW EXECUTE FUNCTION durable();
		ALTER DATABASE postgres SET synchronous_commit = off`)
	for _, pollOnly := range []bool{false, true} {
		s := open(t, server.URL, &postgres.Options{PollOnly: pollOnly})
		insert(t, s, job("owner"))
		require.NoError(t, s.Pause(t.Context(), store.Pause{Lanes: []string{fmt.Sprint(pollOnly)}}))
	}
}

// What is more than the database takes is refused, and what is much is not.
func TestInsertHuge(t *testing.T) {
	url, schema := pgtest.Split(pgtest.Place(t))
	s := open(t, url, &postgres.Options{Schema: schema})
	in := job("owner")
	in.Spec = make([]byte, 256<<20)
	_, err := s.Insert(t.Context(), []store.Insertion{in})
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, "bytes in one call, more than 268435456")
	in.Spec = in.Spec[:16<<20]
	insert(t, s, in)
	r, err := s.Get(t.Context(), in.Head.ID)
	require.NoError(t, err)
	require.Len(t, r.Spec, 16<<20)
}

// Migrations wait as long as it takes, and keep others from migrating meanwhile, whatever
// the limits of the server.
func TestMigrationsTakeTheirTime(t *testing.T) {
	at, schema := pgtest.Split(pgtest.Place(t))
	require.NoError(t, open(t, at, &postgres.Options{Schema: schema}).Close())
	release := hold(t, at, "LOCK TABLE "+schema+".migrations IN ACCESS EXCLUSIVE MODE")
	limited := at + "&options=" + url.QueryEscape("-clock_timeout=100")
	opened := make(chan error, 3)
	for range cap(opened) {
		go func() {
			s, err := postgres.Open(t.Context(), limited, &postgres.Options{Schema: schema, MaxConns: 1})
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
	}
	class, _ := postgres.Classes(schema)
	eventually(t, "who has the lock to wait for longer than the limit", func() bool {
		var age float64
		sql(t, at, fmt.Sprintf(`SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.query_start)), 0)::float8
			FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'advisory' AND l.classid = %d AND l.objid = 1 AND a.wait_event_type = 'Lock'`, class), &age)
		return age > 0.5 || len(opened) > 0
	})
	require.Empty(t, opened)
	release()
	for range cap(opened) {
		require.NoError(t, <-opened)
	}
}
