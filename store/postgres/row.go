package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/foreman-go/foreman/store"
)

// row is what is kept of a record in heads.
type row struct {
	store.Head
	turn  uint64 // see turns.go
	ready bool   // it can be claimed; a queued record that is not ready is delayed
}

// The turns that are no numbers: see [store.Queue].
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

func shareOf(h *store.Head) share { return share{levelOf(h), h.Owner} }

// rank sorts higher priorities first.
func rank(priority int32) int32 { return ^priority }

// The classes of records, in the order in which Overdue reports them.
const (
	classQueued int16 = iota
	classWorking
	classEnded
)

func classOf(s store.State) int16 {
	switch s {
	case store.Queued:
		return classQueued
	case store.Working:
		return classWorking
	default:
		return classEnded
	}
}

// since is when a record became due: at RunAt, or when it was created.
func since(h *store.Head) time.Time {
	if h.RunAt.After(h.Created) {
		return h.RunAt
	}
	return h.Created
}

// columns are those of heads, of a table that is called h; into lists where they go.
const columns = `h.id, h.version, h.seq, h.state, h.owner, h.lane, h.kind, h.labels, h.rank, h.turn, h.ready,
	h.attempt, h.worker, h.created, h.run_at, h.started, h.finished, h.expires, h.deadline, h.key, h.fingerprint, h.note`

func (r *row) into(more ...any) []any {
	h := &r.Head
	return append([]any{
		(*key)(&h.ID), &h.Version, &h.Seq, (*text)(&h.State), (*text)(&h.Owner), (*text)(&h.Lane), (*text)(&h.Kind),
		(*labels)(&h.Labels), (*complement)(&h.Priority), &r.turn, &r.ready, &h.Attempt, (*text)(&h.Worker),
		(*moment)(&h.Created), (*moment)(&h.RunAt), (*moment)(&h.Started), (*moment)(&h.Finished), (*moment)(&h.Expires),
		(*moment)(&h.Deadline), (*text)(&h.IdempotencyKey), &h.Fingerprint, &h.Note,
	}, more...)
}

// complement scans a rank into a priority.
type complement int32

// ScanInt64 implements [pgtype.Int64Scanner].
func (c *complement) ScanInt64(v pgtype.Int8) error {
	*c = complement(^int32(v.Int64))
	return nil
}

// eachRow visits the rows of heads in a result.
func eachRow(rows pgx.Rows, visit func(*row) error, more ...any) error {
	for rows.Next() {
		r := &row{}
		if err := rows.Scan(r.into(more...)...); err != nil {
			return err
		}
		if err := visit(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// micros brings the times of a head to what is kept of them.
func micros(h *store.Head) {
	for _, t := range [...]*time.Time{&h.Created, &h.RunAt, &h.Started, &h.Finished, &h.Expires, &h.Deadline} {
		*t = micro(*t)
	}
}
