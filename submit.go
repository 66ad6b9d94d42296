package foreman

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Submit accepts a job. When it returns without an error the job is durable, and
// runs once [Foreman.Run] gets to it.
//
// With an idempotency key that the same owner has used, it returns the job of
// the first call as it is now; [ErrKeyReused] if that one asked for something
// else. Other errors: [ErrInvalid] and [ErrWebhookRefused], which name the field,
// [ErrTooLarge], [ErrFull], [ErrUnavailable], and the context's.
func (f *Foreman) Submit(ctx context.Context, s Spec) (*Job, error) {
	job, _, err := f.submit(ctx, s)
	return job, err
}

// submit also tells whether the job is that of an earlier call.
func (f *Foreman) submit(ctx context.Context, s Spec) (job *Job, replayed bool, err error) {
	s.MaxAttempts = or(s.MaxAttempts, f.o.MaxAttempts)
	s.BaseURL = or(s.BaseURL, f.o.BaseURL)
	if len(s.Input) == 0 {
		s.Input = []byte("null")
	}
	if err := f.check(&s); err != nil {
		return nil, false, err
	}
	e, in, err := f.insertion(s)
	if err != nil {
		return nil, false, err
	}
	res, err := f.o.Store.Insert(ctx, in)
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return nil, false, fmt.Errorf("submit: %w", fromStore(err))
	}
	if res[0].Existing {
		job, err := f.Status(ctx, res[0].Head.ID)
		return job, true, err
	}
	e.version = res[0].Head.Version
	f.desk.wake()
	f.peers.ready()
	f.outbox.wake(in[0].Deliveries)
	f.reaper.before(e.head.Deadline)
	e.Queue = f.queueStatus(&e.Job, &e.head)
	return &e.Job, false, nil
}

// insertion makes the record of a new job.
func (f *Foreman) insertion(s Spec) (*entry, []store.Insertion, error) {
	now := f.now()
	lane, err := f.lane(&s)
	if err != nil {
		return nil, nil, fmt.Errorf("submit: %w", err)
	}
	e := &entry{Job: Job{ID: newID(now), Spec: s, CreatedAt: now}}
	e.head = store.Head{
		ID: e.ID, Owner: s.Owner, Lane: lane, Kind: s.Model, Labels: s.Labels,
		Priority: int32(s.Priority), Created: now, IdempotencyKey: s.IdempotencyKey,
	}
	spec, err := encodeSpec(&e.Spec)
	if err != nil {
		return nil, nil, fmt.Errorf("submit: %w", err)
	}
	if s.IdempotencyKey != "" {
		e.head.Fingerprint = fingerprint(&e.Spec, spec)
	}
	fx, err := e.advance(submitted(s.RunAt, now, f.terms(&e.Spec)), now, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("submit: %w", err)
	}
	return e, []store.Insertion{{Head: e.head, Spec: spec, Events: fx.events, Deliveries: fx.deliveries}}, nil
}

// newID names what begins at a time. Ids of one process grow within a millisecond too.
func newID(at time.Time) ulid.ULID {
	return ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy())
}

// fingerprint stands for all that a spec asks for.
func fingerprint(s *Spec, encoded []byte) []byte {
	if s.fingerprint != nil {
		return s.fingerprint
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n%d\n%v\n%d\n", s.Model, s.Priority, s.Labels, s.MaxAttempts)
	_, _ = h.Write(encoded)
	return h.Sum(nil)
}
