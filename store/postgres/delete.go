package postgres

import (
	"context"

	"github.com/foreman-go/foreman/store"
)

// Delete implements [store.Records].
func (s *Store) Delete(ctx context.Context, refs []store.Ref) ([]store.Result, error) {
	out := make([]store.Result, len(refs))
	err := s.write(ctx, &op{
		want: func(t *txn) {
			for _, r := range refs {
				t.ids[r.ID], t.boxes[r.ID] = true, true
			}
		},
		run: func(t *txn) error {
			clear(out)
			for i := range refs {
				e, ok := t.current(refs[i], &out[i])
				if !ok {
					continue
				}
				out[i].Head = e.cur.Head
				if err := t.delete(e); err != nil {
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

func (t *txn) delete(e *entry) error {
	id := e.cur.ID
	if e.old == nil { // it was inserted by this transaction
		if err := t.writeNow(); err != nil {
			return err
		}
	}
	if e.cur.ready {
		t.leave(e.cur, false)
	}
	e.cur, e.dirty = nil, true
	box, err := t.outbox(id)
	if err != nil {
		return err
	}
	box.deleteSettled()
	return nil
}
