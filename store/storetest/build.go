package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Ends that the rules give to records; the store knows no names for them.
const (
	done   store.State = "done"
	failed store.State = "failed"
)

// now is the time as a store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// queued is the head of a new record. It is younger than any made before it in
// this process.
func queued(lane string) store.Head {
	return store.Head{ID: ulid.Make(), State: store.Queued, Lane: lane, Created: now()}
}

// ranked is a new head with a priority.
func ranked(lane string, priority int32) store.Head {
	h := queued(lane)
	h.Priority = priority
	return h
}

// owned is a new head with an owner and, if key is not empty, a key that was
// used for the fingerprint.
func owned(owner, key, fingerprint string) store.Head {
	h := queued("lane")
	h.Owner, h.IdempotencyKey = owner, key
	if key != "" {
		h.Fingerprint = []byte(fingerprint)
	}
	return h
}

// insertion is a new record with n events.
func insertion(head store.Head, n int) store.Insertion {
	head.Seq = uint64(n)
	return store.Insertion{Head: head, Spec: spec(head.ID), Events: events(head.ID, 1, n)}
}

// change moves a record to a state, with n events. The deadline of a working
// record was its lease, and goes with it.
func change(head store.Head, state store.State, n int) store.Change {
	c := store.Change{Head: head, Events: events(head.ID, head.Seq+1, n)}
	c.Head.State = state
	c.Head.Seq += uint64(n)
	if head.State == store.Working {
		c.Head.Deadline = time.Time{}
	}
	return c
}

// begin is the change by which a worker starts a record.
func begin(r store.Record) store.Change {
	c := change(r.Head, store.Working, 1)
	c.Head.Attempt++
	c.Head.Started = now()
	return c
}

// end is the change by which a worker ends a record.
func end(head store.Head) store.Change {
	c := change(head, done, 1)
	c.Head.Finished = now()
	c.Outcome = outcome(head.ID)
	return c
}

// events makes n events of a record, numbered from first.
func events(id ulid.ULID, first uint64, n int) []store.Event {
	var list []store.Event
	for seq := first; seq < first+uint64(n); seq++ {
		list = append(list, store.Event{ID: id, Seq: seq, Data: eventData(id, seq)})
	}
	return list
}

// numbered makes events of a record with just these numbers.
func numbered(id ulid.ULID, seqs ...uint64) []store.Event {
	var list []store.Event
	for _, seq := range seqs {
		list = append(list, events(id, seq, 1)...)
	}
	return list
}

// to makes a delivery of each event to one endpoint, due at once.
func to(endpoint string, events []store.Event) []store.Delivery {
	var list []store.Delivery
	for _, e := range events {
		list = append(list, store.Delivery{
			ID: e.ID, Seq: e.Seq, Endpoint: endpoint, URL: endpoint + "/hook",
			State: store.Pending, Body: body(e.ID, e.Seq),
		})
	}
	return list
}

// sending is a new record of n events, each with a delivery to the endpoint.
func sending(endpoint string, n int) store.Insertion {
	in := insertion(queued("lane"), n)
	in.Deliveries = to(endpoint, in.Events)
	return in
}

// settlement says that the attempt at d, as it was claimed, ended in state.
func settlement(d store.Delivery, state store.DeliveryState) store.Settlement {
	return store.Settlement{
		ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: state,
		Log: fmt.Appendf(bytes.Clone(d.Log), "%d:%s\n", d.Attempt, state),
	}
}

// Blobs follow from the record, so that any process can tell what they must be.

func spec(id ulid.ULID) []byte    { return []byte("spec of " + id.String()) }
func outcome(id ulid.ULID) []byte { return []byte("outcome of " + id.String()) }

func eventData(id ulid.ULID, seq uint64) []byte { return fmt.Appendf(nil, "event %d of %s", seq, id) }

func body(id ulid.ULID, seq uint64) []byte { return fmt.Appendf(nil, "body %d of %s\x00\xff", seq, id) }

func refs(heads ...store.Head) []store.Ref {
	var list []store.Ref
	for i := range heads {
		list = append(list, heads[i].Ref())
	}
	return list
}

func ids(heads ...store.Head) []ulid.ULID {
	list := []ulid.ULID{}
	for _, h := range heads {
		list = append(list, h.ID)
	}
	return list
}

func recordIDs(records []store.Record) []ulid.ULID {
	list := []ulid.ULID{}
	for _, r := range records {
		list = append(list, r.ID)
	}
	return list
}

// utc is a head with its times as a store keeps them.
func utc(h store.Head) store.Head {
	for _, t := range times(&h) {
		*t = t.UTC().Truncate(time.Microsecond)
	}
	return h
}

// plain is a head for comparison: a store need not tell empty from nil.
func plain(h store.Head) store.Head {
	if len(h.Labels) == 0 {
		h.Labels = nil
	}
	if len(h.Fingerprint) == 0 {
		h.Fingerprint = nil
	}
	if len(h.Note) == 0 {
		h.Note = nil
	}
	return h
}

func times(h *store.Head) []*time.Time {
	return []*time.Time{&h.Created, &h.RunAt, &h.Started, &h.Finished, &h.Expires, &h.Deadline}
}
