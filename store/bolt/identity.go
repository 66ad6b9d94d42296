package bolt

import (
	"context"
	"crypto/rand"

	"github.com/foreman-go/foreman/store"
)

var _ store.Identified = (*Store)(nil)

// identify gives a store that has none its id.
func (t *txn) identify() error {
	if t.get(bucketMeta, idKey) != nil {
		return nil
	}
	return t.bucket(bucketMeta).Put(idKey, []byte(rand.Text()))
}

// ID implements [store.Identified]. The id is in the file.
func (s *Store) ID(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	var id string
	err := s.view(func(t *txn) error {
		id = string(t.get(bucketMeta, idKey))
		return nil
	})
	return id, err
}
