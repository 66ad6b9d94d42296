package bolt

import (
	"bytes"
	"context"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

var _ store.Mover = (*Store)(nil)

// maxExported is what the records of one export may hold, but for the last.
const maxExported = 16 << 20

// Export implements [store.Mover].
func (s *Store) Export(ctx context.Context, after ulid.ULID, limit int) ([]store.Whole, error) {
	var out []store.Whole
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.view(func(t *txn) error {
		c := t.bucket(bucketHeads).Cursor()
		k, v := c.Seek(after[:])
		if bytes.Equal(k, after[:]) {
			k, v = c.Next()
		}
		for size := 0; k != nil && len(out) < limit && size < maxExported; k, v = c.Next() {
			var r row
			if err := readRow(k, v, &r); err != nil {
				return err
			}
			w, n, err := t.whole(&r)
			if err != nil {
				return err
			}
			out = append(out, w)
			size += n
		}
		return nil
	})
	return out, err
}

// whole reads all that belongs to a record, and tells how many bytes it holds.
func (t *txn) whole(r *row) (w store.Whole, size int, err error) {
	w.Head = r.Head
	if w.Spec, err = t.blob(r.spec); err != nil {
		return w, 0, err
	}
	if w.Outcome, err = t.blob(r.outcome); err != nil {
		return w, 0, err
	}
	size = len(w.Spec) + len(w.Outcome)
	for _, pos := range r.events {
		e, err := readEvent(pos, t.get(bucketLog, posKey(pos)))
		if err != nil {
			return w, 0, err
		}
		w.Events = append(w.Events, e)
		size += len(e.Data)
	}
	t.eachDelivery(r.ID, 0, func(k, v []byte) bool {
		var d store.Delivery
		if err = readDelivery(k, v, &d); err != nil {
			return false
		}
		var body []byte
		if body, err = open(t.get(bucketBodies, k)); err != nil {
			return false
		}
		d.Body = bytes.Clone(body)
		w.Deliveries = append(w.Deliveries, d)
		size += len(body) + len(d.Log)
		return true
	})
	return w, size, err
}

// Import implements [store.Mover].
func (s *Store) Import(ctx context.Context, in []store.Whole) ([]store.Result, error) {
	out := make([]store.Result, len(in))
	err := s.write(ctx, func(t *txn) error {
		if err := t.promote(); err != nil {
			return err
		}
		for i := range in {
			if err := t.restore(&in[i], &out[i]); err != nil {
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

func (t *txn) restore(w *store.Whole, out *store.Result) error {
	r := row{Head: w.Head}
	micro(&r.Head)
	if out.Err = check(&r.Head, 0, w.Events, w.Deliveries); out.Err != nil {
		return nil
	}
	old, ok, err := t.row(w.ID)
	switch {
	case err != nil:
		out.Err = err
		return nil
	case ok && old.Version >= w.Version:
		out.Head, out.Existing = old.Head, true
		return nil
	case ok || !t.isNew(w.ID):
		out.Head, out.Err = old.Head, store.ErrExists
		return nil
	case t.atLimit():
		out.Err = t.errFull()
		return nil
	}
	if w.IdempotencyKey != "" {
		key := idempotencyKey(w.Owner, w.IdempotencyKey)
		if t.get(bucketKeys, key) != nil {
			out.Err = store.ErrKeyReused
			return nil
		}
		if err := t.bucket(bucketKeys).Put(key, w.ID[:]); err != nil {
			return err
		}
	}
	if err := t.reindex(nil, &r); err != nil {
		return err
	}
	if err := t.putBlob(&r.spec, w.Spec); err != nil {
		return err
	}
	if w.Outcome != nil {
		if err := t.putBlob(&r.outcome, w.Outcome); err != nil {
			return err
		}
	}
	if err := t.restoreDeliveries(w.ID, w.Deliveries); err != nil {
		return err
	}
	out.Head = r.Head
	return t.emit(&r, w.Events, nil)
}

// restoreDeliveries adds the deliveries of a new record, whatever their states.
func (t *txn) restoreDeliveries(id ulid.ULID, list []store.Delivery) error {
	waits := false
	for i := range list {
		d := list[i]
		d.ID = id
		if err := t.addDelivery(&d, waits); err != nil {
			return err
		}
		waits = waits || d.State == store.Pending
	}
	return nil
}
