package bolt

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// What fits in a key of bbolt, with room to spare.
const (
	maxName = 4096
	maxNote = 64 << 10
)

// Insert implements [store.Records].
func (s *Store) Insert(ctx context.Context, in []store.Insertion) ([]store.Result, error) {
	out := make([]store.Result, len(in))
	err := s.write(ctx, func(t *txn) error {
		if err := t.promote(); err != nil { // what was due before gets its turn before
			return err
		}
		for i := range in {
			if err := t.insert(&in[i], &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *txn) insert(in *store.Insertion, out *store.Result) error {
	r := &t.fresh
	*r = row{Head: in.Head, events: r.events[:0]}
	h := &r.Head
	h.Version = 1
	micro(h)
	if out.Err = check(h, 0, in.Events, in.Deliveries); out.Err != nil {
		return nil
	}
	var key []byte
	if h.IdempotencyKey != "" {
		key = idempotencyKey(h.Owner, h.IdempotencyKey)
		if id := t.get(bucketKeys, key); id != nil {
			return t.existing(ulid.ULID(id), h, out)
		}
	}
	if !t.isNew(h.ID) {
		out.Err = store.ErrExists
		return nil
	}
	if t.atLimit() {
		out.Err = t.errFull()
		return nil
	}
	if key != nil {
		if err := t.bucket(bucketKeys).Put(key, in.Head.ID[:]); err != nil {
			return err
		}
	}
	if err := t.reindex(nil, r); err != nil {
		return err
	}
	if err := t.putBlob(&r.spec, in.Spec); err != nil {
		return err
	}
	out.Head = *h
	return t.emit(r, in.Events, in.Deliveries)
}

func (t *txn) errFull() error {
	return fmt.Errorf("%w: %s holds its limit of %d bytes: delete jobs or raise the limit", store.ErrFull, t.store.path, t.store.maxSize)
}

// putBlob puts a blob in the log, beside the events of the same change.
func (t *txn) putBlob(x *blob, b []byte) error {
	if b == nil {
		b = []byte{} // bbolt gives nil for a nil in the same transaction, as if it were not there
	}
	log := t.bucket(bucketLog)
	pos, err := log.NextSequence()
	if err != nil {
		return err
	}
	*x = blob{pos: pos, sum: crc32.Checksum(b, castagnoli)}
	return log.Put(blobKey(pos), b)
}

// deleteBlob deletes a blob if there is one.
func (t *txn) deleteBlob(x *blob) error {
	if x.pos == 0 {
		return nil
	}
	pos := x.pos
	*x = blob{}
	return t.bucket(bucketLog).Delete(blobKey(pos))
}

// blob returns a copy of a blob, or nil if there is none.
func (t *txn) blob(x blob) ([]byte, error) {
	if x.pos == 0 {
		return nil, nil
	}
	return openBlob(t.get(bucketLog, blobKey(x.pos)), x.sum)
}

// existing answers an insertion whose idempotency key is taken.
func (t *txn) existing(id ulid.ULID, h *store.Head, out *store.Result) error {
	first, err := t.indexed(id)
	if err != nil {
		out.Err = err
		return nil
	}
	if !bytes.Equal(first.Fingerprint, h.Fingerprint) {
		out.Err = store.ErrKeyReused
		return nil
	}
	out.Head, out.Existing = first.Head, true
	return nil
}

// check finds what the caller got wrong.
func check(h *store.Head, seq uint64, events []store.Event, deliveries []store.Delivery) error {
	for _, n := range [...]string{h.Owner, h.Lane, h.Kind, h.IdempotencyKey, h.Worker, string(h.State)} {
		if len(n) > maxName {
			return tooLong(n)
		}
	}
	for i := range deliveries {
		for _, n := range [...]string{deliveries[i].Endpoint, deliveries[i].URL} {
			if len(n) > maxName {
				return tooLong(n)
			}
		}
	}
	if len(h.Note) > maxNote {
		return fmt.Errorf("%w: a note of %d bytes, more than %d", store.ErrInvalid, len(h.Note), maxNote)
	}
	return store.Check(h, seq, events, deliveries)
}

func tooLong(name string) error {
	return fmt.Errorf("%w: a name of %d bytes, more than %d", store.ErrInvalid, len(name), maxName)
}

// Get implements [store.Records].
func (s *Store) Get(ctx context.Context, id ulid.ULID) (store.Record, error) {
	var r store.Record
	if err := ctx.Err(); err != nil {
		return r, err
	}
	err := s.view(func(t *txn) error {
		w, ok, err := t.row(id)
		if err != nil {
			return err
		}
		if !ok {
			return store.ErrNotFound
		}
		r.Head = w.Head
		if r.Spec, err = t.blob(w.spec); err != nil {
			return err
		}
		r.Outcome, err = t.blob(w.outcome)
		return err
	})
	return r, err
}

// Apply implements [store.Records].
func (s *Store) Apply(ctx context.Context, changes []store.Change) ([]store.Result, error) {
	out := make([]store.Result, len(changes))
	err := s.write(ctx, func(t *txn) error {
		if err := t.promote(); err != nil {
			return err
		}
		for i := range changes {
			c := &changes[i]
			old, ok, err := t.current(store.Ref{ID: c.Head.ID, Version: c.Head.Version}, &out[i])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := t.apply(&old, c, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// current reads the row that ref names. When there is none at that version, the
// result says so and ok is false.
func (t *txn) current(ref store.Ref, out *store.Result) (r row, ok bool, err error) {
	r, ok, err = t.row(ref.ID)
	switch {
	case err != nil:
		out.Err = err // this one's damage, and nobody else's
		return r, false, nil
	case !ok:
		out.Err = store.ErrNotFound
	case r.Version != ref.Version:
		out.Head, out.Err = r.Head, store.ErrStale
		ok = false
	}
	return r, ok, nil
}

// apply makes a change from the row that it was made from.
func (t *txn) apply(old *row, c *store.Change, out *store.Result) error {
	h := c.Head
	h.Version = old.Version + 1
	h.Owner, h.Created = old.Owner, old.Created
	h.IdempotencyKey, h.Fingerprint = old.IdempotencyKey, old.Fingerprint
	if old.State == store.Working && h.State == store.Working {
		h.Deadline = old.Deadline
	}
	micro(&h)
	if out.Err = check(&h, old.Seq, c.Events, c.Deliveries); out.Err != nil {
		return nil
	}
	r := *old
	r.Head = h
	if err := t.reindex(old, &r); err != nil {
		return err
	}
	if h.State == store.Queued || c.Outcome != nil {
		if err := t.deleteBlob(&r.outcome); err != nil {
			return err
		}
	}
	if h.State != store.Queued && c.Outcome != nil {
		if err := t.putBlob(&r.outcome, c.Outcome); err != nil {
			return err
		}
	}
	out.Head = h
	return t.emit(&r, c.Events, c.Deliveries)
}

// Delete implements [store.Records].
func (s *Store) Delete(ctx context.Context, refs []store.Ref) ([]store.Result, error) {
	out := make([]store.Result, len(refs))
	err := s.write(ctx, func(t *txn) error {
		for i := range refs {
			old, ok, err := t.current(refs[i], &out[i])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := t.delete(&old); err != nil {
				return err
			}
			out[i].Head = old.Head
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *txn) delete(r *row) error {
	if err := t.reindex(r, nil); err != nil {
		return err
	}
	if err := t.bucket(bucketHeads).Delete(r.ID[:]); err != nil {
		return err
	}
	for _, x := range []blob{r.spec, r.outcome} {
		if err := t.deleteBlob(&x); err != nil {
			return err
		}
	}
	if r.IdempotencyKey != "" {
		if err := t.bucket(bucketKeys).Delete(idempotencyKey(r.Owner, r.IdempotencyKey)); err != nil {
			return err
		}
	}
	for _, pos := range r.events {
		if err := t.bucket(bucketLog).Delete(posKey(pos)); err != nil {
			return err
		}
	}
	return t.deleteSettled(r.ID)
}

// scan bounds how many records one call looks at to find those that match.
const scan = 50_000

// List implements [store.Records].
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	var p store.Page
	if err := ctx.Err(); err != nil {
		return p, err
	}
	limit := max(q.Limit, 1)
	err := s.view(func(t *txn) error {
		c := t.bucket(bucketHeads).Cursor()
		k, v := c.Last()
		if !q.Before.IsZero() {
			// Seek stops at the first key that is not below; the page begins
			// one before it, or at the end if there is no such key.
			if at, _ := c.Seek(q.Before[:]); at != nil {
				k, v = c.Prev()
			} else {
				k, v = c.Last()
			}
		}
		for seen := 0; k != nil; k, v = c.Prev() {
			if seen == scan || len(p.Heads) == limit {
				return nil
			}
			seen++
			var r row
			if err := readRow(k, v, &r); err != nil {
				return err
			}
			p.Next = r.ID
			if matches(&r.Head, &q) {
				p.Heads = append(p.Heads, r.Head)
			}
		}
		p.Next = ulid.ULID{}
		return nil
	})
	return p, err
}

func matches(h *store.Head, q *store.Query) bool {
	if q.Owner != "" && h.Owner != q.Owner ||
		q.State != "" && h.State != q.State ||
		q.Kind != "" && h.Kind != q.Kind ||
		!q.CreatedAfter.IsZero() && !h.Created.After(q.CreatedAfter.Truncate(time.Microsecond)) ||
		!q.CreatedBefore.IsZero() && !h.Created.Before(q.CreatedBefore) {
		return false
	}
	for k, want := range q.Labels {
		if have, ok := h.Labels[k]; !ok || have != want {
			return false
		}
	}
	return true
}
