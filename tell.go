package foreman

import (
	"context"
	"errors"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// tellPatience is how long a job waits for its end while artifacts that its webhook is to
// tell of cannot be read, since their store is away. Then it ends, and they are given by
// URL: what was done counts for more.
const tellPatience = time.Minute

// tellsArtifacts reports whether the change to a life is an end whose webhook tells of
// artifacts.
func (e *entry) tellsArtifacts(l life) bool {
	return l.state.Terminal() && l.state != e.State && len(e.Artifacts) > 0 && e.Spec.tells(l.state)
}

// tellOf gives the artifacts of a job the form that they have in the webhook about its end.
// Data that is lost is as if its time were over, and what cannot be read is given by URL.
// While their store is away it fails instead, if the end can wait.
func (f *Foreman) tellOf(ctx context.Context, j *Job, canWait bool) ([]webhook.ArtifactMeta, error) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	return f.inline(reading, j, j.Spec.BaseURL, func(m *webhook.ArtifactMeta, err error) error {
		away := errors.Is(err, ErrUnavailable) || reading.Err() != nil
		switch {
		case errors.Is(err, ErrNotFound):
			m.Removed = true
			return nil
		case away && canWait:
			return err
		case away:
			stop() // the others need not be tried
		}
		f.o.Logger.Warn("an artifact cannot be read, and the webhook about the end of its job has its URL alone",
			"job", j.ID, "artifact", m.Name, "error", err)
		return nil
	})
}

// readThen reads what the webhook about the end of an attempt tells of, and hands the
// attempt over to be settled. Others are settled meanwhile, and its lease is renewed.
func (f *Foreman) readThen(running, ctx context.Context, s *settlement, over chan<- *attempt) {
	ctx, giveUp := context.WithTimeout(ctx, tellPatience)
	defer giveUp()
	// At the end of Run there has to be time left to store it.
	defer context.AfterFunc(running, func() { time.AfterFunc(settleGrace/2, giveUp) })()
	const first, last = 50 * time.Millisecond, time.Second
	a := s.attempt
	for delay := first; ; delay = min(2*delay, last) {
		var err error
		if a.told, err = f.tellOf(ctx, &s.is.Job, ctx.Err() == nil); err == nil {
			break
		}
		if delay == first {
			f.o.Logger.Warn("a job waits for its end until its artifacts can be read", "job", a.id, "error", err)
		}
		pause(ctx, delay)
	}
	a.read = true
	over <- a
}

// changeTo is become, for a job that has no attempt of this process. [ErrUnavailable] says
// that its end has to wait; one that is overdue waits for no longer than tellPatience.
func (f *Foreman) changeTo(ctx context.Context, e *entry, l life, now time.Time) (store.Change, error) {
	if !e.tellsArtifacts(l) {
		return e.become(l, now, nil)
	}
	told, err := f.tellOf(ctx, &e.Job, now.Sub(earlier(e.head.Deadline, now)) < tellPatience)
	if err != nil {
		return store.Change{}, err
	}
	return e.become(l, now, told)
}
