package bolt

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// The row of a queued record has its turn. If it is ready, that is where it is in
// bucketReady, and stays the same for as long as it is ready at its level. If it is
// delayed, it is the front turn or, as a sign that it will get one, the first. Of other
// records the turn says nothing.
const (
	frontTurn = 0 // of records that come back from working
	firstTurn = 1 // the least of all others
)

// level is what turns are counted in: a lane and one priority.
type level struct {
	lane     string
	priority int32
}

func levelOf(h *store.Head) level { return level{h.Lane, h.Priority} }

// share is one owner's part of a level.
type share struct {
	level
	owner string
}

// turns is what is kept of a share while it has ready records, so that bucketTurns has
// as many rows as there are owners who wait. Those at the front turn do not count.
type turns struct {
	ready uint64 // how many records are ready
	last  uint64 // the last turn that was given; no ready record has a later one
}

func readTurns(b []byte) (n turns) {
	if len(b) == 8+8 {
		n.ready, n.last = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	}
	return n
}

// leastTurn is the first turn of the ready records of a level, but for the front turn.
func (t *txn) leastTurn(l level) uint64 {
	if turn, ok := t.least[l]; ok {
		return turn
	}
	turn := uint64(firstTurn)
	prefix := appendLevel(nil, l)
	k, _ := t.seek(bucketReady, readyKey(l, firstTurn, ulid.ULID{}))
	if bytes.HasPrefix(k, prefix) {
		_, turn, _ = cutReady(k, len(l.lane))
	}
	if t.least == nil {
		t.least = map[level]uint64{}
	}
	t.least[l] = turn
	return turn
}

// makeReady puts a record that was not ready in bucketReady: at the front turn, or at one
// that is not before those being served, and that no other ready record of its owner has.
func (t *txn) makeReady(r *row) error {
	l := levelOf(&r.Head)
	if r.turn != frontTurn {
		r.turn = t.leastTurn(l)
		n := t.turnsOf(share{l, r.Owner})
		if n.ready > 0 {
			r.turn = max(r.turn, n.last+1)
		}
		n.ready++
		n.last = r.turn
	}
	t.gain(l.lane, 1)
	return t.putReady(r)
}

// putReady puts a record at its turn.
func (t *txn) putReady(r *row) error {
	since := r.Created
	if r.RunAt.After(since) {
		since = r.RunAt
	}
	v := appendTime(t.values.take(8+len(r.Owner)), since)
	return t.bucket(bucketReady).Put(readyKey(levelOf(&r.Head), r.turn, r.ID), append(v, r.Owner...))
}

// removeReady reports whether the record was ready at this turn.
func (t *txn) removeReady(l level, turn uint64, id ulid.ULID, owner string) (found bool, err error) {
	if found, err = t.remove(bucketReady, readyKey(l, turn, id)); !found || err != nil {
		return false, err
	}
	t.gain(l.lane, -1)
	if turn == frontTurn {
		return true, nil
	}
	if n := t.turnsOf(share{l, owner}); n.ready > 0 {
		n.ready--
	}
	if t.least[l] == turn {
		delete(t.least, l)
	}
	return true, nil
}

// readyOf reads a value of bucketReady.
func readyOf(v []byte) (since time.Time, owner string) {
	if len(v) < 8 {
		return since, ""
	}
	return timeAt(v), string(v[8:])
}

func (t *txn) turnsOf(s share) *turns {
	n := t.turns[s]
	if n == nil {
		read := readTurns(t.get(bucketTurns, turnsKey(s.level, s.owner)))
		n = &read
		if t.turns == nil {
			t.turns = map[share]*turns{}
		}
		t.turns[s] = n
	}
	return n
}

func (t *txn) flushTurns() error {
	for s, n := range t.turns {
		key := turnsKey(s.level, s.owner)
		if n.ready == 0 {
			if _, err := t.remove(bucketTurns, key); err != nil {
				return err
			}
			continue
		}
		v := binary.BigEndian.AppendUint64(t.values.take(8+8), n.ready)
		if err := t.bucket(bucketTurns).Put(key, binary.BigEndian.AppendUint64(v, n.last)); err != nil {
			return err
		}
	}
	return nil
}
