package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/foreman-go/foreman/store"
)

// turns is what a transaction knows of the turns at the levels where it makes records
// ready. An owner's last turn is the greatest that a ready record of it has, since the
// lowest are claimed first; when such a record is withdrawn, the turn is kept in a table
// of its own for as long as the owner has others there.
type turns struct {
	least     map[level]uint64      // of the ready records, but for those at the front; 0 if there are none
	given     map[share]*given      // by owner
	stale     map[level]bool        // what the database says lags behind what was changed
	withdrawn map[share]*withdrawal // to be written
}

type given struct {
	waits bool   // a record of the owner is ready, at a turn above 0
	last  uint64 // the turn it was given last, while waits is true
	kept  bool   // the database has a withdrawn turn
}

type withdrawal struct {
	forget bool   // what is there is to be deleted first
	last   uint64 // 0 for nothing
}

// wantTurn has the turns of a record read that may become ready.
func (t *txn) wantTurn(h *store.Head) {
	if h.State == store.Queued {
		t.shares[shareOf(h)] = struct{}{}
	}
}

// queueTurns reads the turns that are wanted.
func (t *txn) queueTurns() {
	if len(t.shares) == 0 {
		return
	}
	list := make([]share, 0, len(t.shares))
	for s := range t.shares {
		list = append(list, s)
	}
	clear(t.shares)
	var s share
	var least, greatest, last uint64
	t.queue(`SELECT u.lane, u.rank, u.owner,
			coalesce((SELECT r.turn FROM @.ready r WHERE r.lane = u.lane AND r.rank = u.rank AND r.turn > 0
				ORDER BY r.lane, r.rank, r.turn, r.id LIMIT 1), 0),
			coalesce((SELECT r.turn FROM @.ready r WHERE r.lane = u.lane AND r.rank = u.rank AND r.owner = u.owner AND r.turn > 0
				ORDER BY r.owner DESC, r.lane DESC, r.rank DESC, r.turn DESC LIMIT 1), 0),
			coalesce((SELECT w.last FROM @.withdrawn w WHERE w.lane = u.lane AND w.rank = u.rank AND w.owner = u.owner), 0)
		FROM unnest($1::bytea[], $2::integer[], $3::bytea[]) u (lane, rank, owner)`,
		texts(list, func(s *share) string { return s.lane }),
		numbers(list, func(s *share) int32 { return rank(s.priority) }),
		texts(list, func(s *share) string { return s.owner }),
	).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{
			(*text)(&s.lane), (*complement)(&s.priority), (*text)(&s.owner), &least, &greatest, &last,
		}, func() error {
			t.turns.learn(s, least, greatest, last)
			return nil
		})
		return err
	})
}

func (n *turns) learn(s share, least, greatest, last uint64) {
	if n.least == nil {
		n.least, n.given = map[level]uint64{}, map[share]*given{}
	}
	n.least[s.level] = least
	n.given[s] = &given{waits: greatest > 0, last: max(greatest, last), kept: last > 0}
}

// makeReady puts a record that was not ready at the front turn, if it comes back from
// working, or else at one that is not before those being served and that no other ready
// record of its owner has.
func (t *txn) makeReady(r *row) error {
	if r.turn != frontTurn {
		g, err := t.given(shareOf(&r.Head))
		if err != nil {
			return err
		}
		least := max(t.turns.least[levelOf(&r.Head)], firstTurn)
		r.turn = least
		switch {
		case g.waits:
			r.turn = max(least, g.last+1)
		case g.kept:
			t.turns.withdraw(shareOf(&r.Head), withdrawal{forget: true})
			g.kept = false
		}
		g.waits, g.last = true, r.turn
		t.turns.least[levelOf(&r.Head)] = least
	}
	r.ready = true
	t.count(countReady, r.Lane, 1)
	return nil
}

// given is what an owner was given at a level. What was changed there must be written
// before it can be read.
func (t *txn) given(s share) (*given, error) {
	if t.turns.stale[s.level] {
		t.flush()
	} else if g := t.turns.given[s]; g != nil {
		return g, nil
	}
	t.shares[s] = struct{}{}
	t.queueTurns()
	if err := t.send(); err != nil {
		return nil, err
	}
	return t.turns.given[s], nil
}

// leave takes a record out of those that are ready. One that was not claimed takes its
// turn with it.
func (t *txn) leave(r *row, claimed bool) {
	t.count(countReady, r.Lane, -1)
	t.removed++
	if r.turn == frontTurn {
		return
	}
	if !claimed {
		t.turns.withdraw(shareOf(&r.Head), withdrawal{last: r.turn})
	}
	l := levelOf(&r.Head)
	if t.turns.stale == nil {
		t.turns.stale = map[level]bool{}
	}
	t.turns.stale[l] = true
	delete(t.turns.least, l)
	for s := range t.turns.given {
		if s.level == l {
			delete(t.turns.given, s)
		}
	}
}

func (n *turns) withdraw(s share, w withdrawal) {
	if n.withdrawn == nil {
		n.withdrawn = map[share]*withdrawal{}
	}
	if w.forget {
		n.withdrawn[s] = &w
		return
	}
	have := n.withdrawn[s]
	if have == nil {
		have = &withdrawal{}
		n.withdrawn[s] = have
	}
	have.last = max(have.last, w.last)
}

// queueWithdrawn writes the turns that were withdrawn.
func (t *txn) queueWithdrawn() {
	type line struct {
		share
		last uint64
	}
	var forget []share
	var put []line
	for _, s := range sortedShares(t.turns.withdrawn) {
		w := t.turns.withdrawn[s]
		if w.forget {
			forget = append(forget, s)
		}
		if w.last > 0 {
			put = append(put, line{s, w.last})
		}
	}
	t.turns.withdrawn = nil
	t.turns.stale = nil
	if len(forget) > 0 {
		t.queue(`DELETE FROM @.withdrawn WHERE (lane, rank, owner) IN (SELECT w.lane, w.rank, w.owner
			FROM unnest($1::bytea[], $2::integer[], $3::bytea[]) u (lane, rank, owner),
				LATERAL (SELECT * FROM @.withdrawn w WHERE w.lane = u.lane AND w.rank = u.rank AND w.owner = u.owner FOR UPDATE) w)`,
			texts(forget, func(s *share) string { return s.lane }),
			numbers(forget, func(s *share) int32 { return rank(s.priority) }),
			texts(forget, func(s *share) string { return s.owner }))
	}
	if len(put) > 0 {
		t.queue(`INSERT INTO @.withdrawn AS w SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bytea[], $4::bigint[])
			ON CONFLICT (lane, rank, owner) DO UPDATE SET last = greatest(w.last, excluded.last)`,
			texts(put, func(l *line) string { return l.lane }),
			numbers(put, func(l *line) int32 { return rank(l.priority) }),
			texts(put, func(l *line) string { return l.owner }),
			numbers(put, func(l *line) uint64 { return l.last }))
	}
}
