package foreman

import (
	"context"
	"time"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// ownTime is how long New looks whose the artifacts are.
const ownTime = 10 * time.Second

// own makes the artifacts those of this queue, or finds out that they are. If they are
// another queue's, the error is [artifact.ErrOwned]. Stores that cannot say are taken to
// belong together.
func (f *Foreman) own(ctx context.Context) error {
	jobs, ok := f.o.Store.(store.Identified)
	artifacts, ok2 := f.o.Artifacts.(artifact.Owned)
	if !ok || !ok2 {
		return nil
	}
	id, err := jobs.ID(ctx)
	if err != nil {
		return err
	}
	return artifacts.Own(ctx, id)
}
