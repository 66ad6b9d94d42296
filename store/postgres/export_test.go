package postgres

import (
	"context"
	"time"

	"github.com/foreman-go/foreman/store"
)

// Classes are those of the advisory locks of a schema.
var Classes = classesOf

// SetClock gives the process that opens a store a clock of its own.
func (o *Options) SetClock(now func() time.Time) { o.local = now }

// Vacuum has a store clean up behind the queue at once.
func Vacuum(ctx context.Context, s store.Store) error {
	if m, ok := s.(Messenger); ok {
		s = m.Store
	}
	return s.(*Store).vacuum(ctx)
}
