package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Names must fit into the keys of an index together.
const (
	maxName = 1024
	maxURL  = 4096
	maxNote = 64 << 10
)

// Insert implements [store.Records]. Names and idempotency keys have at most 1024 bytes,
// and notes 64 KiB; what is longer is [store.ErrInvalid].
func (s *Store) Insert(ctx context.Context, in []store.Insertion) ([]store.Result, error) {
	out := make([]store.Result, len(in))
	size := 0
	for i := range in {
		size += len(in[i].Spec) + bytesOf(in[i].Events, in[i].Deliveries)
	}
	err := s.write(ctx, &op{
		size: size,
		want: func(t *txn) {
			t.promotes = true // what was due before gets its turn before
			for i := range in {
				t.wantNew(&in[i].Head)
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range in {
				if err := t.insert(&in[i], &out[i]); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func bytesOf(events []store.Event, deliveries []store.Delivery) (n int) {
	for i := range events {
		n += len(events[i].Data)
	}
	for i := range deliveries {
		n += len(deliveries[i].Body)
	}
	return n
}

func (t *txn) wantNew(h *store.Head) {
	t.ids[h.ID] = true
	t.fresh = append(t.fresh, h.ID)
	if h.IdempotencyKey != "" {
		t.keys[ownerKey{h.Owner, h.IdempotencyKey}] = struct{}{}
	}
	t.wantTurn(h)
}

func (t *txn) insert(in *store.Insertion, out *store.Result) error {
	r := &row{Head: in.Head}
	h := &r.Head
	h.Version = 1
	micros(h)
	if out.Err = check(h, 0, in.Events, in.Deliveries); out.Err != nil {
		return nil
	}
	k := ownerKey{h.Owner, h.IdempotencyKey}
	if h.IdempotencyKey != "" {
		if first := t.holder(k); first != nil {
			if !bytes.Equal(first.Fingerprint, h.Fingerprint) {
				out.Err = store.ErrKeyReused
				return nil
			}
			out.Head, out.Existing = copyHead(&first.Head), true
			return nil
		}
	}
	e := t.entry(h.ID)
	if e.cur != nil || t.orphans[h.ID] || t.hasPending(h.ID) {
		out.Err = store.ErrExists
		return nil
	}
	if e.old != nil { // it was deleted by this transaction
		if err := t.writeNow(); err != nil {
			return err
		}
	}
	r.turn = firstTurn
	if h.State == store.Queued && !h.RunAt.After(t.now) {
		if err := t.makeReady(r); err != nil {
			return err
		}
	}
	e.cur, e.dirty = r, true
	if h.IdempotencyKey != "" {
		t.holders[k] = r
	}
	t.specs = append(t.specs, data{h.ID, in.Spec})
	if t.outboxes[h.ID] == nil {
		t.outboxes[h.ID] = &outbox{}
	}
	out.Head = *h
	return t.emit(r, in.Events, in.Deliveries)
}

// holder is the record that has a key, as it is by now.
func (t *txn) holder(k ownerKey) *row {
	r := t.holders[k]
	if r == nil {
		return nil
	}
	if e := t.entries[r.ID]; e != nil {
		return e.cur
	}
	return r
}

// writeNow writes what was changed, so that it can be changed once more in a way that
// cannot be written together with it.
func (t *txn) writeNow() error {
	t.flush()
	return t.send()
}

// check finds what the caller got wrong.
func check(h *store.Head, seq uint64, events []store.Event, deliveries []store.Delivery) error {
	for _, n := range [...]string{h.Owner, h.Lane, h.Kind, h.IdempotencyKey, h.Worker, string(h.State)} {
		if len(n) > maxName {
			return tooLong(n, maxName)
		}
	}
	for i := range deliveries {
		d := &deliveries[i]
		if len(d.Endpoint) > maxName {
			return tooLong(d.Endpoint, maxName)
		}
		if len(d.URL) > maxURL {
			return tooLong(d.URL, maxURL)
		}
	}
	if len(h.Note) > maxNote {
		return fmt.Errorf("%w: a note of %d bytes, more than %d", store.ErrInvalid, len(h.Note), maxNote)
	}
	return store.Check(h, seq, events, deliveries)
}

func tooLong(name string, most int) error {
	return fmt.Errorf("%w: a name of %d bytes, more than %d", store.ErrInvalid, len(name), most)
}

// Get implements [store.Records].
func (s *Store) Get(ctx context.Context, id ulid.ULID) (store.Record, error) {
	var r row
	var spec, outcome []byte
	err := s.read(ctx, false, func(b *pgx.Batch) {
		b.Queue(s.sql(`SELECT `+columns+`, (SELECT data FROM @.specs WHERE id = h.id), (SELECT data FROM @.outcomes WHERE id = h.id)
			FROM @.heads h WHERE h.id = $1`), uuid(id)).QueryRow(func(got pgx.Row) error {
			r = row{}
			return got.Scan(r.into(&spec, &outcome)...)
		})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return store.Record{}, store.ErrNotFound
	}
	return store.Record{Head: r.Head, Spec: spec, Outcome: outcome}, err
}
