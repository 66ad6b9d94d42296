package postgres

import (
	"github.com/jackc/pgx/v5"
)

// promotion bounds how many records one transaction makes ready.
const promotion = 1000

// queuePromotion reads the records whose time has come.
func (t *txn) queuePromotion() {
	if !t.promotes {
		return
	}
	t.queue(`SELECT `+columns+` FROM @.delayed d JOIN @.heads h ON h.id = d.id
		WHERE d.run_at <= statement_timestamp() AND h.class = 0 AND NOT h.ready AND h.run_at = d.run_at
		ORDER BY d.run_at, d.id LIMIT $1 FOR UPDATE OF h SKIP LOCKED`, promotion).Query(func(rows pgx.Rows) error {
		t.due = nil
		return eachRow(rows, func(r *row) error {
			t.due = append(t.due, r.ID)
			return t.keep(r)
		})
	})
}

// promote makes them ready, in the order in which they became due.
func (t *txn) promote() error {
	for _, id := range t.due {
		e := t.entries[id]
		if e.cur.turn != frontTurn {
			t.shares[shareOf(&e.cur.Head)] = struct{}{} // all in one question
		}
	}
	if len(t.shares) > 0 {
		t.queueTurns()
		if err := t.send(); err != nil {
			return err
		}
	}
	for _, id := range t.due {
		e := t.entries[id]
		r := *e.cur
		if err := t.makeReady(&r); err != nil {
			return err
		}
		e.cur, e.dirty = &r, true
	}
	t.promoted, t.due = len(t.due), nil
	return nil
}
