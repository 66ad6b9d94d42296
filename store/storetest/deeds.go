package storetest

import (
	"bytes"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// In a place that a writer works on, every change of a record comes with one
// event, so that its version is also its sequence. What else a record holds
// follows from its id and version by the functions here.

func writerLane(id ulid.ULID) string { return fmt.Sprint("lane ", id[15]%2) }

func writerNote(version uint64) []byte { return fmt.Appendf(nil, "version %d", version) }

// notices makes the deliveries that come with events: about every second
// event has one.
func notices(events []store.Event) []store.Delivery {
	var list []store.Delivery
	for _, e := range events {
		if hasNotice(e.ID, e.Seq) {
			list = append(list, to(fmt.Sprint("endpoint ", e.ID[14]%3), []store.Event{e})...)
		}
	}
	return list
}

func hasNotice(id ulid.ULID, seq uint64) bool { return (uint64(id[15])+seq)%2 == 0 }

// attemptEnd is what an attempt at a delivery comes to: some fail the first time, some
// are the last that the receiver wants of the record, and some are sent again after they
// have ended. Later ones of a record that was stopped have no attempt.
func attemptEnd(id ulid.ULID, seq uint64, attempt int) store.DeliveryState {
	switch {
	case redelivered(id, seq):
		return []store.DeliveryState{store.Superseded, store.Pending, store.Delivered}[min(attempt, 2)]
	case attempt == 0 && (uint64(id[13])+seq)%3 == 0:
		return store.Pending
	case id[10]%8 == 0 && seq >= 2:
		return store.Stopped
	}
	return store.Delivered
}

func redelivered(id ulid.ULID, seq uint64) bool { return id[10]%8 != 0 && (uint64(id[13])+seq)%5 == 0 }

// nextState is how the work on a record ends: some is to be tried again.
func nextState(h store.Head) store.State {
	if h.Attempt < 3 && (uint64(h.ID[12])+h.Version)%4 == 0 {
		return store.Queued
	}
	return done
}

func writerInsertion(id ulid.ULID) store.Insertion {
	h := queued(writerLane(id))
	h.ID, h.Priority, h.Note = id, int32(id[14]%3), writerNote(1)
	h.Owner, h.IdempotencyKey, h.Fingerprint = "owner", id.String(), id.Bytes()
	in := insertion(h, 1)
	in.Deliveries = notices(in.Events)
	return in
}

func writerChange(h store.Head, state store.State) store.Change {
	c := change(h, state, 1)
	c.Head.Note = writerNote(h.Version + 1)
	c.Deliveries = notices(c.Events)
	if state.Ended() {
		c.Outcome = outcome(h.ID)
	}
	return c
}

func writerStart(r store.Record) store.Change {
	c := writerChange(r.Head, store.Working)
	c.Head.Attempt++
	return c
}

func (w *writer) submit() (bool, error) {
	if w.open.Load() > writerBacklog {
		return false, w.ctx.Err()
	}
	batch := []store.Insertion{writerInsertion(ulid.Make())}
	if batch[0].Head.ID[15]%4 == 0 {
		batch = append(batch, writerInsertion(ulid.Make()), writerInsertion(ulid.Make()))
	}
	results, err := w.Insert(w.ctx, batch)
	w.open.Add(int64(len(batch)))
	return true, w.sayAll("insert", results, err)
}

func (w *writer) work() (bool, error) {
	lane := writerLane(ulid.Make())
	records, err := w.Claim(w.ctx, store.Claim{Worker: "worker", Lane: lane, Limit: 4, Lease: writerLease}, writerStart)
	if err != nil || len(records) == 0 {
		return false, err
	}
	var changes []store.Change
	var heads []store.Head
	for _, r := range records {
		if err := w.sayKept(r.Head); err != nil {
			return false, err
		}
		heads = append(heads, r.Head)
		c := writerChange(r.Head, nextState(r.Head))
		changes = append(changes, c)
		if c.Head.State.Ended() {
			w.open.Add(-1)
		}
	}
	results, err := w.Extend(w.ctx, refs(heads...), writerLease)
	if err := w.sayAll("extend", results, err); err != nil {
		return false, err
	}
	results, err = w.Apply(w.ctx, changes)
	return true, w.sayAll("apply", results, err)
}

func (w *writer) reap() (bool, error) {
	heads, err := w.Overdue(w.ctx, 50)
	if err != nil || len(heads) == 0 {
		return false, err
	}
	var changes []store.Change
	for _, h := range heads {
		changes = append(changes, writerChange(h, store.Queued))
	}
	results, err := w.Apply(w.ctx, changes)
	return true, w.sayAll("reap", results, err)
}

func (w *writer) send() (bool, error) {
	list, err := w.ClaimDeliveries(w.ctx, store.DeliveryClaim{Worker: "sender", Limit: 16, PerEndpoint: 8, Lease: writerLease})
	if err != nil || len(list) == 0 {
		return false, err
	}
	var batch []store.Settlement
	for _, d := range list {
		if !bytes.Equal(d.Body, body(d.ID, d.Seq)) {
			return false, fmt.Errorf("delivery %d of %s has another body", d.Seq, d.ID)
		}
		batch = append(batch, settlement(d, attemptEnd(d.ID, d.Seq, d.Attempt)))
	}
	return true, w.settle(batch)
}

// settle tells of what it settles before and after, and reopens what is to be sent again.
func (w *writer) settle(batch []store.Settlement) error {
	for _, s := range batch {
		if err := w.say(line{What: lineSettling, ID: s.ID, Seq: s.Seq, Attempt: s.Attempt}); err != nil {
			return err
		}
	}
	errs, err := w.SettleDeliveries(w.ctx, batch)
	if err != nil {
		return err
	}
	var again []store.Settlement
	for i, s := range batch {
		if errs[i] != nil {
			continue // somebody else had it after the lease, or it went with its record
		}
		if err := w.say(line{What: lineSettled, ID: s.ID, Seq: s.Seq, Attempt: s.Attempt}); err != nil {
			return err
		}
		if redelivered(s.ID, s.Seq) && s.Attempt == 0 {
			d := store.Delivery{ID: s.ID, Seq: s.Seq, Attempt: 1, Log: s.Log}
			again = append(again, settlement(d, attemptEnd(s.ID, s.Seq, 1)))
		}
	}
	if len(again) == 0 {
		return nil
	}
	return w.settle(again)
}

func (w *writer) clean() (bool, error) {
	page, err := w.List(w.ctx, store.Query{State: done, Limit: 20})
	if err != nil {
		return false, err
	}
	var batch []store.Ref
	for _, h := range page.Heads {
		if h.ID[11]%2 == 0 {
			batch = append(batch, h.Ref())
			if err := w.say(line{What: lineDeleting, ID: h.ID, Version: h.Version}); err != nil {
				return false, err
			}
		}
	}
	results, err := w.Delete(w.ctx, batch)
	if err != nil {
		return false, err
	}
	for i, r := range results {
		if r.Err != nil {
			return false, fmt.Errorf("delete: %w", r.Err) // nobody else touches it
		}
		if err := w.say(line{What: lineDeleted, ID: batch[i].ID, Version: batch[i].Version}); err != nil {
			return false, err
		}
	}
	return len(batch) > 0, nil
}
