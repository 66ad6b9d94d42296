package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/foreman-go/foreman/store"
)

// claim is a claim of records under way.
type claim struct {
	store.Claim
	start  func(store.Record) store.Change
	out    []store.Record
	err    error     // this claim's alone
	common *claiming // what all claims of the lane in the transaction share
}

// claiming is what can be claimed of a lane.
type claiming struct {
	limit  int
	paused bool
	rows   []claimable
}

type claimable struct {
	*row
	spec []byte
}

// mostClaimed bounds what one transaction claims of one lane.
const mostClaimed = 100_000

// Claim implements [store.Queue].
func (s *Store) Claim(ctx context.Context, c store.Claim, start func(store.Record) store.Change) ([]store.Record, error) {
	if c.Limit < 1 {
		return nil, s.enter(ctx)
	}
	cl := &claim{Claim: c, start: start}
	if err := s.write(ctx, &op{claim: cl}); err != nil {
		return nil, err
	}
	return cl.out, cl.err
}

func claimsOf(batch []*op) (list []*claim) {
	for _, o := range batch {
		if o.claim != nil {
			list = append(list, o.claim)
		}
	}
	return list
}

// queueClaims reads and locks what can be claimed. Others' are passed over; what has
// moved while its lock was waited for is seen by its turn.
func (t *txn) queueClaims(claims []*claim) {
	lanes := map[string]*claiming{}
	for _, c := range claims {
		x := lanes[c.Lane]
		if x == nil {
			x = &claiming{}
			lanes[c.Lane] = x
		}
		c.common = x
		x.limit = min(x.limit+min(c.Limit, mostClaimed), mostClaimed)
	}
	for lane, x := range lanes {
		t.queue(`SELECT EXISTS (SELECT FROM @.paused p WHERE p.every AND p.lane = '') OR EXISTS (SELECT FROM @.paused p WHERE NOT p.every AND p.lane = $1)`,
			[]byte(lane)).QueryRow(func(r pgx.Row) error { return r.Scan(&x.paused) })
		t.queue(`SELECT `+columns+`, s.data
			FROM @.ready r JOIN @.heads h ON h.id = r.id LEFT JOIN @.specs s ON s.id = r.id
			WHERE r.lane = $1 AND h.ready AND h.lane = r.lane AND h.rank = r.rank AND h.turn = r.turn
				AND (h.deadline IS NULL OR h.deadline > statement_timestamp())
			ORDER BY r.lane, r.rank, r.turn, r.id LIMIT $2 FOR UPDATE OF h SKIP LOCKED`,
			[]byte(lane), x.limit).Query(func(rows pgx.Rows) error {
			var spec []byte
			x.rows = nil
			return eachRow(rows, func(r *row) error {
				x.rows = append(x.rows, claimable{r, spec})
				spec = nil
				return nil
			}, &spec)
		})
	}
	t.queueNow()
}

// claim shares out what can be claimed, and makes the changes that start returns. The
// deliveries of all these records are locked together, in order.
func (t *txn) claim(claims []*claim) error {
	type share struct {
		*claim
		mine []claimable
		list []store.Change
	}
	var shares []share
	for _, c := range claims {
		c.out, c.err = nil, nil
		x := c.common
		if x.paused {
			continue
		}
		mine := x.rows[:min(c.Limit, len(x.rows))]
		list, ok := c.startAll(mine, t.now.Add(c.Lease))
		if !ok {
			continue
		}
		x.rows = x.rows[len(mine):]
		shares = append(shares, share{c, mine, list})
		for i := range list {
			if len(list[i].Deliveries) > 0 {
				t.boxes[mine[i].ID] = true
			}
		}
	}
	for _, c := range shares {
		mine, list := c.mine, c.list
		for i := range list {
			e := t.entry(mine[i].ID)
			if e.cur == nil {
				_ = t.keep(mine[i].row)
				e = t.entries[mine[i].ID]
			}
			var res store.Result
			if err := t.apply(e, &list[i], true, &res); err != nil {
				return err
			}
			c.out = append(c.out, store.Record{Head: res.Head, Spec: mine[i].spec})
		}
	}
	return nil
}

// startAll calls start for each record. If a change breaks the contract, none is made.
func (c *claim) startAll(rows []claimable, deadline time.Time) ([]store.Change, bool) {
	list := make([]store.Change, len(rows))
	for i, r := range rows {
		list[i] = c.start(store.Record{Head: copyHead(&r.Head), Spec: r.spec})
		list[i].Head.ID = r.ID
		if list[i].Head.State == store.Working {
			list[i].Head.Worker, list[i].Head.Deadline = c.Worker, deadline
		}
		if _, c.err = next(&r.Head, &list[i], true); c.err != nil {
			return nil, false
		}
	}
	return list, true
}
