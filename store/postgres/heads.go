package postgres

import (
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// queueGone deletes records, with all that is theirs but for their deliveries.
func (t *txn) queueGone(ids []ulid.ULID) {
	if len(ids) == 0 {
		return
	}
	for _, table := range []string{"heads", "specs", "outcomes", "events"} {
		t.queue(`DELETE FROM @.`+table+` WHERE ctid = ANY (ARRAY(SELECT x.ctid FROM unnest($1::uuid[]) u (id),
			LATERAL (SELECT x.ctid FROM @.`+table+` x WHERE x.id = u.id OFFSET 0) x))`, uuids(ids, self))
	}
	for _, id := range ids {
		delete(t.outcomes, id)
	}
}

// queuePlaces moves records in the tables by which they are found.
func (t *txn) queuePlaces(d *diff) {
	rank := func(r **row) int32 { return rank((*r).Priority) }
	lane := func(r **row) string { return (*r).Lane }
	turn := func(r **row) uint64 { return (*r).turn }
	id := func(r **row) ulid.ULID { return (*r).ID }
	if len(d.unready) > 0 {
		t.queue(`DELETE FROM @.ready WHERE ctid = ANY (ARRAY(SELECT
				(SELECT r.ctid FROM @.ready r WHERE r.lane = u.lane AND r.rank = u.rank AND r.turn = u.turn AND r.id = u.id)
			FROM unnest($1::bytea[], $2::integer[], $3::bigint[], $4::uuid[]) u (lane, rank, turn, id)))`,
			texts(d.unready, lane), numbers(d.unready, rank), numbers(d.unready, turn), uuids(d.unready, id))
	}
	if len(d.ready) > 0 {
		t.queue(`INSERT INTO @.ready SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bigint[], $4::uuid[], $5::bytea[], $6::timestamptz[])`,
			texts(d.ready, lane), numbers(d.ready, rank), numbers(d.ready, turn), uuids(d.ready, id),
			texts(d.ready, func(r **row) string { return (*r).Owner }),
			times(d.ready, func(r **row) time.Time { return since(&(*r).Head) }))
	}
	at := func(x *timed) time.Time { return x.at }
	of := func(x *timed) ulid.ULID { return x.id }
	class := func(x *timed) int16 { return x.class }
	if len(d.undelayed) > 0 {
		t.queue(`DELETE FROM @.delayed WHERE ctid = ANY (ARRAY(SELECT
				(SELECT x.ctid FROM @.delayed x WHERE x.run_at = u.run_at AND x.id = u.id)
			FROM unnest($1::timestamptz[], $2::uuid[]) u (run_at, id)))`, times(d.undelayed, at), uuids(d.undelayed, of))
	}
	if len(d.delayed) > 0 {
		t.queue(`INSERT INTO @.delayed SELECT * FROM unnest($1::timestamptz[], $2::uuid[])`, times(d.delayed, at), uuids(d.delayed, of))
	}
	if len(d.undeadlines) > 0 {
		t.queue(`DELETE FROM @.deadlines WHERE ctid = ANY (ARRAY(SELECT
				(SELECT x.ctid FROM @.deadlines x WHERE x.class = u.class AND x.at = u.at AND x.id = u.id)
			FROM unnest($1::smallint[], $2::timestamptz[], $3::uuid[]) u (class, at, id)))`,
			numbers(d.undeadlines, class), times(d.undeadlines, at), uuids(d.undeadlines, of))
		t.removed += len(d.undeadlines)
	}
	if len(d.deadlines) > 0 {
		t.queue(`INSERT INTO @.deadlines SELECT * FROM unnest($1::smallint[], $2::timestamptz[], $3::uuid[])`,
			numbers(d.deadlines, class), times(d.deadlines, at), uuids(d.deadlines, of))
	}
}

func (t *txn) queueNew(rows []*row) {
	if len(rows) == 0 {
		return
	}
	t.queue(`INSERT INTO @.heads (id, version, seq, state, class, lane, kind, labels, rank, turn, ready, attempt, worker,
			run_at, started, finished, expires, deadline, note, owner, created, key, fingerprint)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::smallint[], $6::bytea[], $7::bytea[],
			$8::bytea[], $9::integer[], $10::bigint[], $11::boolean[], $12::bigint[], $13::bytea[], $14::timestamptz[],
			$15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bytea[], $20::bytea[],
			$21::timestamptz[], $22::bytea[], $23::bytea[])`,
		append(changing(rows),
			texts(rows, func(r **row) string { return (*r).Owner }),
			times(rows, func(r **row) time.Time { return (*r).Created }),
			byteas(rows, func(r **row) []byte {
				if (*r).IdempotencyKey == "" {
					return nil
				}
				return []byte((*r).IdempotencyKey)
			}),
			byteas(rows, func(r **row) []byte { return (*r).Fingerprint }))...)
}

// queueChanged updates heads; the columns are those that changing gives.
func (t *txn) queueChanged(rows []*row) {
	if len(rows) == 0 {
		return
	}
	t.queue(`UPDATE @.heads h SET version = u.version, seq = u.seq, state = u.state, class = u.class, lane = u.lane,
			kind = u.kind, labels = u.labels, rank = u.rank, turn = u.turn, ready = u.ready, attempt = u.attempt,
			worker = u.worker, run_at = u.run_at, started = u.started, finished = u.finished, expires = u.expires,
			deadline = u.deadline, note = u.note
		FROM (SELECT (SELECT x.ctid FROM @.heads x WHERE x.id = u.id) AS place, u.*
			FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::smallint[], $6::bytea[], $7::bytea[],
				$8::bytea[], $9::integer[], $10::bigint[], $11::boolean[], $12::bigint[], $13::bytea[], $14::timestamptz[],
				$15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bytea[])
				u (id, version, seq, state, class, lane, kind, labels, rank, turn, ready, attempt, worker,
				run_at, started, finished, expires, deadline, note) OFFSET 0) u
		WHERE h.ctid = u.place`, changing(rows)...)
}

func changing(rows []*row) []any {
	return []any{
		uuids(rows, func(r **row) ulid.ULID { return (*r).ID }),
		numbers(rows, func(r **row) uint64 { return (*r).Version }),
		numbers(rows, func(r **row) uint64 { return (*r).Seq }),
		texts(rows, func(r **row) store.State { return (*r).State }),
		numbers(rows, func(r **row) int16 { return classOf((*r).State) }),
		texts(rows, func(r **row) string { return (*r).Lane }),
		texts(rows, func(r **row) string { return (*r).Kind }),
		byteas(rows, func(r **row) []byte { return packLabels((*r).Labels) }),
		numbers(rows, func(r **row) int32 { return rank((*r).Priority) }),
		numbers(rows, func(r **row) uint64 { return (*r).turn }),
		bools(rows, func(r **row) bool { return (*r).ready }),
		numbers(rows, func(r **row) int { return (*r).Attempt }),
		texts(rows, func(r **row) string { return (*r).Worker }),
		times(rows, func(r **row) time.Time { return (*r).RunAt }),
		times(rows, func(r **row) time.Time { return (*r).Started }),
		times(rows, func(r **row) time.Time { return (*r).Finished }),
		times(rows, func(r **row) time.Time { return (*r).Expires }),
		times(rows, func(r **row) time.Time { return (*r).Deadline }),
		byteas(rows, func(r **row) []byte { return (*r).Note }),
	}
}
