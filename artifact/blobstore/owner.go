package blobstore

import (
	"context"
	"fmt"

	"gocloud.dev/gcerrors"

	"github.com/foreman-go/foreman/artifact"
)

// ownerKey is the object that has the id of the queue that the bucket belongs to.
const ownerKey = "queue"

// Own is the Own of [artifact.Owned]. The id is in the object queue. Two queues that come
// to one directory on two machines at once may both be told that they have it; then the
// loser is told when it asks again.
func (s *Store) Own(ctx context.Context, queue string) error {
	owner, err := s.owner(ctx)
	if isNotFound(err) {
		if _, err = s.note(ctx, ownerKey, queue, true); err == nil || gcerrors.Code(err) == gcerrors.FailedPrecondition {
			owner, err = s.owner(ctx) // perhaps somebody else's
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("blobstore: find out whose %s is: %w", s.where, err)
	case owner != queue:
		return fmt.Errorf("blobstore: %s: it %w, whose id is in its object %s (%q, and this one is %q): give this queue a bucket of its own, or a prefix with prefix=name/ in the URL; if the other one is no more, or has moved here, remove that object",
			s.where, artifact.ErrOwned, ownerKey, owner, queue)
	}
	return nil
}

func (s *Store) owner(ctx context.Context) (string, error) {
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	queue, err := s.bucket.ReadAll(ctx, ownerKey)
	if err != nil {
		return "", s.unavailable(ctx, err)
	}
	return string(queue), nil
}
