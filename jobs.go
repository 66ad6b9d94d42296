package foreman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// Status returns a job as it is now. Errors: [ErrNotFound], [ErrUnavailable] and
// the context's.
func (f *Foreman) Status(ctx context.Context, id ulid.ULID) (*Job, error) {
	e, err := f.entry(ctx, id)
	if err != nil {
		return nil, err
	}
	j := &e.Job
	if j.State == Queued {
		j.Queue = f.queueStatus(j, &e.head)
		if j.Queue.At.IsZero() {
			const most = 1000
			ahead, ready, err := f.o.Store.Position(ctx, id, most)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, fmt.Errorf("job %s: %w", id, fromStore(err))
			}
			if ready && ahead < most {
				j.Queue.Position = ahead + 1
				j.Queue.ETA, j.Queue.Margin, _ = f.desk.eta(ctx, e.head.Lane, j.Queue.Position)
			}
		}
	}
	if a := f.runs.get(id); a != nil && j.State == Working {
		j.Progress = a.task.live.lastProgress()
	}
	if j.Spec.StateWebhookURL != "" {
		if j.Webhook, err = f.webhookStatus(ctx, id); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// entry reads a job with the head that it comes from.
func (f *Foreman) entry(ctx context.Context, id ulid.ULID) (entry, error) {
	r, err := f.o.Store.Get(ctx, id)
	if err != nil {
		return entry{}, fmt.Errorf("job %s: %w", id, fromStore(err))
	}
	e, err := fromRecord(r)
	if err != nil {
		return entry{}, fmt.Errorf("job %s: %w", id, fromStore(err))
	}
	if !e.artifactsExpire.IsZero() && !e.artifactsExpire.After(f.now()) {
		for i := range e.Artifacts {
			e.Artifacts[i].Removed = true // though nobody may have got to it yet
		}
	}
	return e, nil
}

// queueStatus says what a queued job waits for, but not how many are before it.
func (f *Foreman) queueStatus(j *Job, h *store.Head) *QueueStatus {
	switch {
	case !h.RunAt.After(f.now()):
		return &QueueStatus{WaitingFor: f.desk.waitingFor(h.Lane, j.Spec.Model)}
	case j.Error != nil && j.Error.Type == BackendUnavailable:
		return &QueueStatus{WaitingFor: "backend", At: h.RunAt}
	case j.Attempt > 0 || j.Error != nil:
		return &QueueStatus{WaitingFor: "backoff", At: h.RunAt}
	}
	return &QueueStatus{WaitingFor: "run_at", At: h.RunAt}
}

func (f *Foreman) webhookStatus(ctx context.Context, id ulid.ULID) (*WebhookStatus, error) {
	ds, err := f.o.Store.Deliveries(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("job %s: deliveries: %w", id, fromStore(err))
	}
	var w WebhookStatus
	for i := range ds {
		switch ds[i].State {
		case store.Delivered:
			w.Delivered++
		case store.Failed, store.Stopped:
			w.Failed++
		case store.Superseded:
			w.Superseded++
		default:
			w.Pending++
		}
	}
	return &w, nil
}

// Artifacts returns the outputs of a job, without their data: [Foreman.OpenArtifact]
// reads it. A job that has not ended has none but what an attempt that did not end well
// has left, which is named partial: see [Task.Write]. Errors as for Status.
func (f *Foreman) Artifacts(ctx context.Context, id ulid.ULID) ([]Artifact, error) {
	e, err := f.entry(ctx, id)
	return e.Artifacts, err
}

// OpenArtifact opens the data of one output of a job; the caller closes it, and does not
// let ctx end before. Errors: those of Status, [ErrNotFound] if the job has no output of
// that name, [ErrGone] if its time is over or its data is lost, [ErrUnavailable] if the
// artifact store cannot be reached.
func (f *Foreman) OpenArtifact(ctx context.Context, id ulid.ULID, name string) (io.ReadSeekCloser, Artifact, error) {
	e, err := f.entry(ctx, id)
	if err != nil {
		return nil, Artifact{}, err
	}
	return f.openArtifact(ctx, &e, name)
}

func (f *Foreman) openArtifact(ctx context.Context, e *entry, name string) (io.ReadSeekCloser, Artifact, error) {
	for i := range e.Artifacts {
		a := &e.Artifacts[i]
		if a.Name != name {
			continue
		}
		if a.Removed {
			return nil, *a, fmt.Errorf("%w: artifact %s of job %s was kept for its time, which is over", ErrGone, name, e.ID)
		}
		r, err := f.o.Artifacts.Open(ctx, artifactKey(&e.Job, a))
		if errors.Is(err, artifact.ErrNotFound) {
			return nil, *a, fmt.Errorf("%w: artifact %s of job %s was removed, or is lost: the job has it, and its data is not there", ErrGone, name, e.ID)
		}
		if err != nil {
			return nil, *a, fmt.Errorf("artifact %s of job %s: %w", name, e.ID, fromArtifact(err))
		}
		return r, *a, nil
	}
	return nil, Artifact{}, fmt.Errorf("%w: job %s has no artifact %q", ErrNotFound, e.ID, clip(name, 128))
}

// Cancel cancels a queued job at once. It asks a running one to stop, by ending the
// context of its attempt: the job is canceled when the backend returns, unless it
// returns a result all the same. A terminal job stays as it is. It returns the job
// as it is then. Errors as for Status; [ErrUnavailable] also while the artifact store is
// away, if a webhook is to tell of what a queued job has there.
func (f *Foreman) Cancel(ctx context.Context, id ulid.ULID) (*Job, error) {
	_, now, err := f.update(ctx, id, func(e *entry) (life, error) {
		l := e.life().requestCancel(f.now(), f.terms(&e.Spec))
		if l.state == Canceled && len(e.Artifacts) == 0 {
			l = l.forgetArtifacts()
		}
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	if a := f.runs.get(id); a != nil && now.State == Working {
		a.moved(now.head)
	}
	return f.Status(ctx, id)
}

// Retry queues a failed or canceled job again, with all its attempts before it. Its
// result, error and artifacts are removed. Errors: those of Status, and [ErrState]
// for a job in any other state.
func (f *Foreman) Retry(ctx context.Context, id ulid.ULID) (*Job, error) {
	was, _, err := f.update(ctx, id, func(e *entry) (life, error) {
		l, err := e.life().retry(f.now(), f.terms(&e.Spec))
		if err != nil {
			return l, fmt.Errorf("%w: job %s is %s, and only a failed or canceled one can be retried", err, id, e.State)
		}
		e.Result, e.Artifacts, e.artifactsRemoved, e.partial = nil, nil, false, nil
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	f.removeArtifacts(ctx, &was)
	return f.Status(ctx, id)
}

// update changes a job to the life that next gives, as often as it takes to do so
// from what the job is, and returns what it was and is. next may run several times.
func (f *Foreman) update(ctx context.Context, id ulid.ULID, next func(*entry) (life, error)) (was, is entry, err error) {
	for {
		was, err = f.entry(ctx, id)
		if err != nil {
			return was, is, err
		}
		is = was
		before := is.life()
		l, err := next(&is)
		if err != nil || l == before {
			return was, is, err
		}
		worker := is.head.Worker
		c, err := f.changeTo(ctx, &is, l, f.now())
		if err != nil {
			return was, is, fmt.Errorf("job %s: %w", id, err)
		}
		if is.State == Working {
			c.Head.Worker = worker
		}
		results, err := f.o.Store.Apply(ctx, []store.Change{c})
		if err == nil {
			err = results[0].Err
		}
		if errors.Is(err, store.ErrStale) {
			continue // somebody else has changed it: they got on, so this ends
		}
		if err != nil {
			return was, is, fmt.Errorf("job %s: %w", id, fromStore(err))
		}
		is.head = results[0].Head
		is.version = is.head.Version
		f.changed(is.head, c.Deliveries)
		return was, is, nil
	}
}

// Delete removes a job that has ended, with its events and artifacts. Webhooks that
// are still to be delivered are delivered. Errors: those of Status, and [ErrState] for
// a job that has not ended.
func (f *Foreman) Delete(ctx context.Context, id ulid.ULID) error {
	for {
		e, err := f.entry(ctx, id)
		if err != nil {
			return err
		}
		if !e.State.Terminal() {
			return fmt.Errorf("%w: job %s is %s: cancel it first", ErrState, id, e.State)
		}
		results, err := f.o.Store.Delete(ctx, []store.Ref{e.head.Ref()})
		if err == nil {
			err = results[0].Err
		}
		if errors.Is(err, store.ErrStale) {
			continue
		}
		if err != nil {
			return fmt.Errorf("job %s: %w", id, fromStore(err))
		}
		f.removeArtifacts(ctx, &e)
		f.news(id)
		return nil
	}
}

// removeArtifacts removes the data of a job's artifacts. What cannot be removed now
// is swept at the next start.
func (f *Foreman) removeArtifacts(ctx context.Context, e *entry) {
	if len(e.Artifacts) == 0 {
		return
	}
	keys := make([]artifact.Key, 0, len(e.Artifacts))
	for i := range e.Artifacts {
		keys = append(keys, artifactKey(&e.Job, &e.Artifacts[i]))
	}
	if err := f.o.Artifacts.Remove(context.WithoutCancel(ctx), keys...); err != nil {
		f.o.Logger.Warn("artifacts cannot be removed now; the next start will", "job", e.ID, "error", err)
	}
}

// Query selects jobs for [Foreman.List]. Zero fields do not restrict.
type Query struct {
	Owner         string
	State         State
	Model         string
	Labels        map[string]string // all must match
	CreatedAfter  time.Time         // later than this
	CreatedBefore time.Time         // earlier than this
	// Before continues a list: the Next of the page before.
	Before ulid.ULID
	// Limit is from 1 to 1,000. If Limit is 0, 100 is used.
	Limit int
}

// Page is one page of a list of jobs. Its jobs have no Input, Result, Artifacts,
// Queue and Webhook. Next is zero on the last page; a page may be short, or empty,
// before that.
type Page struct {
	Jobs []*Job
	Next ulid.ULID
}

// List returns jobs, newest first. Errors: [ErrUnavailable] and the context's.
func (f *Foreman) List(ctx context.Context, q Query) (*Page, error) {
	const standard, most = 100, 1000
	p, err := f.o.Store.List(ctx, store.Query{
		Owner: q.Owner, State: store.State(q.State), Kind: q.Model, Labels: q.Labels,
		CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore, Before: q.Before,
		Limit: min(max(or(q.Limit, standard), 1), most),
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", fromStore(err))
	}
	out := &Page{Jobs: make([]*Job, 0, len(p.Heads)), Next: p.Next}
	for _, h := range p.Heads {
		e, err := fromHead(h)
		if err != nil {
			return nil, fmt.Errorf("list: %w", fromStore(err))
		}
		out.Jobs = append(out.Jobs, &e.Job)
	}
	return out, nil
}
