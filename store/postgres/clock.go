package postgres

import (
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// clock is the database's, as it is known from the times that it has told. A time that
// it tells was read between the moments in which it was asked for and heard of, so that
// each one bounds how far the clock of this process is off.
type clock struct {
	local func() time.Time // this process's

	mu    sync.Mutex
	ahead time.Duration // how much the database's is ahead of it
	known bool
	heard time.Time // when, by local
}

// steady is the clock of this process as it is now, going on from here whatever it is set
// to.
func steady() func() time.Time {
	base := time.Now()
	return func() time.Time { return base.Add(time.Since(base)) }
}

// stale is after how long a read asks for the time too.
const stale = time.Second

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local().Add(c.ahead)
}

// learn takes in a time that was asked for at sent and has just been heard of.
func (c *clock) learn(sent, told time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	heard := c.local()
	least, most := told.Sub(heard), told.Sub(sent)
	if !c.known {
		c.ahead = least + (most-least)/2
	}
	c.ahead = min(max(c.ahead, least), most)
	c.known, c.heard = true, heard
}

func (c *clock) isStale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ago := c.local().Sub(c.heard)
	return !c.known || ago > stale || ago < -stale
}

// Now implements [store.Shared]. It is as near as half of the time that a question to the
// database takes, and follows the clock of this process in between.
func (s *Store) Now() time.Time { return s.clock.now().UTC() }

// queueTime asks for the time.
func (s *Store) queueTime(b *pgx.Batch, take func(time.Time)) {
	sent := s.clock.local()
	b.Queue("SELECT clock_timestamp()").QueryRow(func(r pgx.Row) error {
		var now moment
		if err := r.Scan(&now); err != nil {
			return err
		}
		s.clock.learn(sent, time.Time(now))
		take(time.Time(now))
		return nil
	})
}
