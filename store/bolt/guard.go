package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/foreman-go/foreman/store"
)

var errPanicked = errors.New("a page is not what it should be")

// guard runs fn and turns a panic into [store.ErrDamaged]. bbolt panics when a
// page is not what it should be, and reading a page that the file no longer
// has is a fault; neither may end the program that embeds the store.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w: %v", store.ErrDamaged, errPanicked, p)
		}
	}()
	return fn()
}

// view runs fn in a read transaction. It must be short: an open one keeps
// pages from being used again, and the file grows.
func (s *Store) view(fn func(*txn) error) error {
	err := guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			return fn(&txn{tx: tx, now: now(), store: s})
		})
	})
	if err == bbolterrors.ErrDatabaseNotOpen { //nolint:errorlint // bbolt returns it bare
		return store.ErrClosed
	}
	return err
}
