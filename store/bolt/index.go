package bolt

import (
	"bytes"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// The classes of deadlines, in the order in which Overdue reports them.
const (
	classQueued byte = iota
	classWorking
	classEnded
	classCount
)

func classOf(s store.State) byte {
	switch s {
	case store.Queued:
		return classQueued
	case store.Working:
		return classWorking
	default:
		return classEnded
	}
}

// row reads a row; ok is false if there is none.
func (t *txn) row(id ulid.ULID) (r row, ok bool, err error) {
	b := t.get(bucketHeads, id[:])
	if b == nil {
		return r, false, nil
	}
	return r, true, readRow(id[:], b, &r)
}

func readRow(k, v []byte, r *row) error {
	b, err := open(v)
	if err != nil {
		return err
	}
	r.ID = ulid.ULID(k)
	return decodeRow(b, r)
}

// indexed reads the row of a record that an index names.
func (t *txn) indexed(id ulid.ULID) (row, error) {
	r, ok, err := t.row(id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: an index names record %s, which is not there", store.ErrDamaged, id)
	}
	return r, err
}

// reindex moves the index keys of a record. old is nil for a new record, and new is
// nil for one that goes away.
func (t *txn) reindex(old, new *row) error {
	if err := t.moveQueued(old, new); err != nil {
		return err
	}
	return t.moveDeadline(old, new)
}

func (t *txn) put(r *row) error {
	const usual = 256
	return t.bucket(bucketHeads).Put(r.ID[:], seal(appendRow(t.values.take(usual), r)))
}

// moveQueued keeps a queued record in exactly one of bucketReady and
// bucketDelayed. One whose time has come stays in bucketDelayed until promote
// moves it, so the old key can be in either. It sets the turn of new.
func (t *txn) moveQueued(old, new *row) error {
	queued := new != nil && new.State == store.Queued
	delayed := queued && new.RunAt.After(t.now)
	front := old != nil && old.State == store.Working
	if old != nil && old.State == store.Queued {
		front = old.turn == frontTurn
		l := levelOf(&old.Head)
		if queued && !delayed && levelOf(&new.Head) == l && t.get(bucketReady, readyKey(l, old.turn, old.ID)) != nil {
			new.turn = old.turn
			return t.putReady(new)
		}
		ready, err := t.removeReady(l, old.turn, old.ID, old.Owner)
		if err != nil {
			return err
		}
		if !ready {
			if err := t.bucket(bucketDelayed).Delete(timedKey(old.RunAt, old.ID)); err != nil {
				return err
			}
		}
	}
	if !queued {
		return nil
	}
	new.turn = firstTurn
	if front {
		new.turn = frontTurn
	}
	if delayed {
		return t.bucket(bucketDelayed).Put(timedKey(new.RunAt, new.ID), present)
	}
	return t.makeReady(new)
}

func (t *txn) gain(lane string, n int64) {
	if t.lanes == nil {
		t.lanes = map[string]int64{}
	}
	t.lanes[lane] += n
}

func (t *txn) moveDeadline(old, new *row) error {
	var from, to []byte
	if old != nil && !old.Deadline.IsZero() {
		from = deadlineKey(classOf(old.State), old.Deadline, old.ID)
	}
	if new != nil && !new.Deadline.IsZero() {
		to = deadlineKey(classOf(new.State), new.Deadline, new.ID)
	}
	if from != nil && string(from) != string(to) {
		if err := t.bucket(bucketDeadlines).Delete(from); err != nil {
			return err
		}
	}
	if to != nil && string(from) != string(to) {
		return t.bucket(bucketDeadlines).Put(to, present)
	}
	return nil
}

// setDeadline changes nothing else.
func (t *txn) setDeadline(r *row, deadline time.Time) error {
	old := *r
	r.Deadline = deadline
	micro(&r.Head)
	if err := t.moveDeadline(&old, r); err != nil {
		return err
	}
	return t.put(r)
}

// promotion bounds how many records one transaction makes ready.
const promotion = 1000

// promote makes queued records ready whose time has come, once in a transaction. It
// comes before rows are read, since it may change them.
func (t *txn) promote() error {
	if t.promoted {
		return nil
	}
	t.promoted = true
	var due [][]byte
	c := t.bucket(bucketDelayed).Cursor()
	for k, _ := c.First(); k != nil && len(due) < promotion && !timeAt(k).After(t.now); k, _ = c.Next() {
		due = append(due, bytes.Clone(k))
	}
	for _, k := range due {
		if err := t.bucket(bucketDelayed).Delete(k); err != nil {
			return err
		}
		r, err := t.indexed(ulid.ULID(k[8:]))
		if err != nil {
			continue // it is nobody's to claim; Get reports it
		}
		sign := r.turn
		if err := t.makeReady(&r); err != nil {
			return err
		}
		if r.turn == sign {
			continue
		}
		if err := t.put(&r); err != nil {
			return err
		}
	}
	return nil
}

// promotable reports whether promote has something to do.
func (t *txn) promotable() bool {
	k, _ := t.bucket(bucketDelayed).Cursor().First()
	return k != nil && !timeAt(k).After(t.now)
}

// voidLeases ends the leases in the file: whoever held them is gone, since
// nobody else can have the file open.
func (t *txn) voidLeases() error {
	var ids []ulid.ULID
	c := t.bucket(bucketDeadlines).Cursor()
	for k, _ := c.Seek([]byte{classWorking}); k != nil && k[0] == classWorking; k, _ = c.Next() {
		if timeAt(k[1:]).After(t.now) {
			ids = append(ids, ulid.ULID(k[9:]))
		}
	}
	for _, id := range ids {
		r, err := t.indexed(id)
		if err != nil {
			continue // Get reports it
		}
		if err := t.setDeadline(&r, t.now); err != nil {
			return err
		}
	}
	return nil
}

// micro brings the times of a head to what is kept of them.
func micro(h *store.Head) {
	for _, t := range []*time.Time{&h.Created, &h.RunAt, &h.Started, &h.Finished, &h.Expires, &h.Deadline} {
		if !t.IsZero() {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
}
