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
	forget bool   // whatever is there
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
			coalesce((SELECT abs(w.last) FROM @.withdrawn w WHERE w.lane = u.lane AND w.rank = u.rank AND w.owner = u.owner), 0)
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
	if w := n.withdrawn[s]; w != nil { // it is written at the end
		if w.forget {
			last = 0
		}
		last = max(last, w.last)
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

// queueWithdrawn writes the turns that were withdrawn, in order. One that takes the place
// of whatever is there is told by its sign, which means nothing else; 0 says nothing, until
// it is tidied up.
func (t *txn) queueWithdrawn() {
	list := sortedShares(t.turns.withdrawn)
	if len(list) == 0 {
		return
	}
	w := t.turns.withdrawn
	t.turns.withdrawn = nil
	t.queue(`INSERT INTO @.withdrawn AS w SELECT u.lane, u.rank, u.owner, u.last
			FROM unnest($1::bytea[], $2::integer[], $3::bytea[], $4::bigint[]) u (lane, rank, owner, last)
		ON CONFLICT (lane, rank, owner) DO UPDATE SET last = CASE WHEN excluded.last <= 0 THEN -excluded.last
			ELSE greatest(abs(w.last), excluded.last) END`,
		texts(list, func(s *share) string { return s.lane }),
		numbers(list, func(s *share) int32 { return rank(s.priority) }),
		texts(list, func(s *share) string { return s.owner }),
		numbers(list, func(s *share) int64 {
			if w[*s].forget {
				return -int64(w[*s].last)
			}
			return int64(w[*s].last)
		}))
}
