package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/foreman-go/foreman/store"
)

// A subscription that has lost its connection tries to get another after a pause that
// doubles.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
	quiet      = 30 * time.Second // after which it asks whether the connection is alive
)

// mailbox gathers messages. NOTIFY takes a lock at commit that all databases of the
// server share, so it has transactions of its own, one at a time: what is published
// while one is under way goes with the next.
type mailbox struct {
	mu      sync.Mutex
	busy    bool
	closed  bool
	waiting []*letter
	all     sync.WaitGroup
}

type letter struct {
	messages []string
	done     chan error
}

const mostLetters = 500 // in one transaction

// Publish implements [store.Messenger].
func (s Messenger) Publish(ctx context.Context, messages ...string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	for _, m := range messages {
		if len(m) > store.MaxMessage || !utf8.ValidString(m) || strings.ContainsRune(m, 0) {
			return fmt.Errorf("%w: a message is at most %d bytes of UTF-8 without NUL", store.ErrInvalid, store.MaxMessage)
		}
	}
	if len(messages) == 0 {
		return nil
	}
	l := &letter{messages, make(chan error, 1)}
	x := &s.mail
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return store.ErrClosed
	}
	x.waiting = append(x.waiting, l)
	if !x.busy {
		x.busy = true
		x.all.Go(s.post)
	}
	x.mu.Unlock()
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop refuses new messages and waits for those on their way.
func (x *mailbox) stop() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.all.Wait()
}

// post sends what waits, until nothing does.
func (s *Store) post() {
	x := &s.mail
	for {
		x.mu.Lock()
		n := min(len(x.waiting), mostLetters)
		list := x.waiting[:n:n]
		x.waiting = x.waiting[n:]
		if n == 0 {
			x.busy = false
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := classify(s.notify(ctx, list))
		cancel()
		for _, l := range list {
			l.done <- err
		}
	}
}

// notify sends letters in one transaction. PostgreSQL leaves out a message that is the
// same as another of the transaction, so each has a number.
func (s *Store) notify(ctx context.Context, list []*letter) error {
	var all []string
	for _, l := range list {
		for _, m := range l.messages {
			all = append(all, fmt.Sprintf("%s %d %s", s.name, len(all), m))
		}
	}
	const text = "SELECT pg_notify($1, u.m) FROM unnest($2::text[]) WITH ORDINALITY u (m, n)"
	for n := 1; ; n++ {
		err := s.exec(ctx, text, s.schema, all)
		if err == nil || n == 3 || !pgconn.SafeToRetry(err) && !isReadOnly(err) {
			return err
		}
	}
}

// exec executes one statement by itself.
func (s *Store) exec(ctx context.Context, text string, args ...any) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, text, args...)
	release(conn, err)
	return err
}

// Subscribe implements [store.Messenger], on a connection of its own.
func (s Messenger) Subscribe(ctx context.Context, fn func(message string), lost func()) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	pause := firstPause
	for inner.Err() == nil {
		err := s.listen(inner, fn, func() {
			pause = firstPause
			lost()
		})
		if inner.Err() != nil {
			break
		}
		s.log.Warn("messages of other processes are cut off; trying again", "pause", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-inner.Done():
		}
		pause = min(2*pause, lastPause)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.ErrClosed
}

// listen hears messages until the connection breaks. It calls up once it listens.
func (s *Store) listen(ctx context.Context, fn func(string), up func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it is of no use any more
	}()
	begin, cancel := context.WithTimeout(ctx, patience)
	_, err = conn.Exec(begin, "LISTEN "+s.schema)
	cancel()
	if err != nil {
		return err
	}
	up()
	for {
		wait, cancel := context.WithTimeout(ctx, quiet)
		n, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			sender, rest, _ := strings.Cut(n.Payload, " ")
			if _, message, ok := strings.Cut(rest, " "); ok && sender != s.name {
				fn(message)
			}
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || conn.IsClosed():
			return err
		default:
			ping, cancel := context.WithTimeout(ctx, patience)
			err := conn.Ping(ping)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}
