package foreman

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

const (
	// How many attempts that are over can wait for their settlement before
	// workers wait too.
	unsettled = 1024
	// How many are settled in one call of the store.
	settleBatch = 512
)

// settle makes durable what came of attempts: it takes all that wait, and takes
// the next while the workers have long gone on. It hands over to itself what has to wait
// for something else, and ends when over is closed. Once running has ended it does not
// wait for ever for a store that is out of order, and when ctx ends it does not wait at
// all.
func (f *Foreman) settle(running, ctx context.Context, over chan *attempt) {
	for a := range over {
		batch := []*attempt{a}
	gather:
		for len(batch) < settleBatch {
			select {
			case a, ok := <-over:
				if !ok {
					break gather
				}
				batch = append(batch, a)
			default:
				break gather
			}
		}
		f.settleAll(running, ctx, batch, over)
	}
}

// settlement is an attempt with the change that ends it, and what the job becomes by it.
type settlement struct {
	*attempt
	change store.Change
	was    *keptArtifact // the partial output until then
	is     entry
}

// settleAll tries until the store has taken every attempt of a batch. An attempt
// whose record has moved on is concluded again from what it is now.
func (f *Foreman) settleAll(running, ctx context.Context, batch []*attempt, over chan<- *attempt) {
	for len(batch) > 0 {
		list, unread := f.conclusions(batch)
		for i := range unread {
			f.aside.Go(func() { f.readThen(running, ctx, &unread[i], over) })
		}
		results, unsure, err := f.applyPatiently(running, ctx, list)
		if err != nil {
			f.o.Logger.Error("results could not be stored before the end; these jobs run again", "jobs", len(list), "error", err)
			for i := range list {
				f.runs.remove(list[i].attempt) // its lease is not renewed any more
			}
			return
		}
		batch = f.settled(list, results, unsure)
	}
}

// conclusions are the changes that end attempts, and those of which something has to be
// read before.
func (f *Foreman) conclusions(batch []*attempt) (list, unread []settlement) {
	now := f.now()
	list = make([]settlement, 0, len(batch))
	for _, a := range batch {
		a.mu.Lock()
		s := settlement{attempt: a, was: a.entry.partial, is: a.entry}
		a.mu.Unlock()
		var err error
		switch s.change, err = a.conclusion(&s.is, now); {
		case err == nil:
			list = append(list, s)
		case errors.Is(err, errUnread):
			unread = append(unread, s)
		default:
			f.o.Logger.Error("the end of an attempt cannot be stored; its lease will run out", "job", a.id, "error", err)
			f.runs.remove(a)
		}
	}
	return list, unread
}

// applyPatiently tries until the store takes changes, or it has to end. These stay the
// same, so that one that was made although the store could not say so is known when it is
// seen: unsure says that there may be such.
func (f *Foreman) applyPatiently(running, ctx context.Context, list []settlement) (results []store.Result, unsure bool, err error) {
	changes := make([]store.Change, len(list))
	for i := range list {
		changes[i] = list[i].change
	}
	waited := time.Duration(0)
	for delay := 50 * time.Millisecond; len(changes) > 0; delay = min(2*delay, time.Second) {
		if results, err = f.o.Store.Apply(ctx, changes); err == nil {
			break
		}
		unsure = true
		if ctx.Err() != nil || running.Err() != nil && waited > settleGrace {
			return nil, true, err
		}
		f.o.Logger.Error("results cannot be stored; trying again", "jobs", len(list), "error", err)
		pause(ctx, delay)
		waited += delay
	}
	return results, unsure, nil
}

// settled acts on what the store has said of changes, and returns the attempts that must
// be settled once more.
func (f *Foreman) settled(list []settlement, results []store.Result, unsure bool) (again []*attempt) {
	for i, r := range results {
		s := &list[i]
		switch {
		case r.Err == nil, unsure && errors.Is(r.Err, store.ErrStale) && isMadeBy(&s.change, &r.Head):
			f.runs.remove(s.attempt)
			f.changed(r.Head, s.change.Deliveries)
			f.dropAside(s, &s.is)
		case errors.Is(r.Err, store.ErrStale) && s.moved(r.Head):
			again = append(again, s.attempt)
		default:
			f.runs.remove(s.attempt)
			f.o.Logger.Warn("the result of an attempt came too late and is dropped", "job", s.id, "attempt", s.number, "reason", r.Err)
			if !unsure { // else it may have come, and the job have gone on; the sweep knows
				f.dropAside(s, nil)
			}
		}
	}
	return again
}

// isMadeBy reports whether a record is what a change has made of it: another change would
// have ended it otherwise, or at another time.
func isMadeBy(c *store.Change, h *store.Head) bool {
	want, kept := &c.Head, func(t time.Time) time.Time { return t.Truncate(time.Microsecond) }
	return h.Version == want.Version+1 && h.State == want.State && h.Attempt == want.Attempt && h.Seq == want.Seq &&
		h.RunAt.Equal(kept(want.RunAt)) && h.Finished.Equal(kept(want.Finished))
}

// errUnread says that artifacts have to be read before an attempt can be concluded.
var errUnread = errors.New("artifacts are to be read")

// conclusion is the change that ends an attempt. It makes e what the job becomes.
func (a *attempt) conclusion(e *entry, now time.Time) (store.Change, error) {
	l, err := a.conclude(e, now)
	if err != nil {
		return store.Change{}, err
	}
	if l.state.Terminal() {
		e.Result, e.Artifacts = a.task.outputs()
	}
	if l.state == Done {
		e.partial = nil // the whole is there
	} else {
		e.setPartial(or(a.task.partial, e.partial))
	}
	if l.state.Terminal() && len(e.Artifacts) == 0 {
		l = l.forgetArtifacts()
	}
	if e.tellsArtifacts(l) && !a.read {
		return store.Change{}, errUnread
	}
	c, err := e.become(l, now, a.told)
	if err == nil && (e.Result != nil || len(e.Artifacts) > 0) && l.state.Terminal() {
		c.Outcome, err = e.outcome()
	}
	return c, err
}

// dropPatience bounds how long removing what an attempt leaves may take.
const dropPatience = 30 * time.Second

// dropAside is dropUnused, which no settlement waits for. Of most attempts nothing is left.
func (f *Foreman) dropAside(s *settlement, e *entry) {
	t := s.task
	if _, list := t.outputs(); len(list) == 0 && s.was == nil && t.partial == nil && t.spool.isUnused() {
		return
	}
	f.aside.Go(func() {
		ctx, stop := context.WithTimeout(context.Background(), dropPatience)
		defer stop()
		f.dropUnused(ctx, s.attempt, s.was, e)
	})
}

// dropUnused removes what an attempt leaves that is not the job's: its spool, its
// artifacts if it was not the last one or came too late, and what was partial before. e
// is nil for one that came too late. What a crash leaves is swept at the next start.
func (f *Foreman) dropUnused(ctx context.Context, a *attempt, was *keptArtifact, e *entry) {
	if err := a.task.spool.remove(); err != nil {
		f.o.Logger.Warn("the spool of an attempt cannot be removed now; the next start will", "job", a.id, "error", err)
	}
	var keys []artifact.Key
	kept := a.task.partial
	if e == nil {
		kept = nil
		if a.task.partial != nil {
			keys = append(keys, a.task.partial.key(a.id))
		}
	} else {
		f.dropPartial(ctx, a.id, was, e.partial)
		if e.State.Terminal() {
			return
		}
	}
	_, list := a.task.outputs()
	for i := range list {
		if kept == nil || list[i].Name != partialName {
			keys = append(keys, artifact.Key{Job: a.id.String(), Run: a.task.run, Name: list[i].Name})
		}
	}
	if len(keys) == 0 {
		return
	}
	if err := f.o.Artifacts.Remove(ctx, keys...); err != nil {
		f.o.Logger.Warn("artifacts of an attempt that did not count cannot be removed", "job", a.id, "error", err)
	}
}

// news tells those who watch a job, here and elsewhere, that it has a new event.
func (f *Foreman) news(id ulid.ULID) {
	f.hub.changed(id)
	f.peers.moved(id)
}

// shows has those who watch a job shown what an attempt of this process shows.
func (f *Foreman) shows(id ulid.ULID, l *live) {
	f.hub.shows(id, l)
	f.peers.shows(id, l)
}

// changed wakes everybody whom a change concerns, once it is durable.
func (f *Foreman) changed(h store.Head, deliveries []store.Delivery) {
	f.news(h.ID)
	f.outbox.wake(deliveries)
	if State(h.State) == Queued {
		f.peers.ready()
		if h.RunAt.IsZero() {
			f.desk.wake()
		} else {
			f.desk.before(h.RunAt)
		}
	}
	f.reaper.before(h.Deadline)
}

// retryDelay is how long to wait after an attempt.
func (f *Foreman) retryDelay(attempt int) time.Duration {
	d := f.o.RetryDelay
	for i := 1; i < attempt && d < f.o.MaxRetryDelay; i++ {
		d *= 2
	}
	return jitter(min(d, f.o.MaxRetryDelay))
}

// jitter makes a delay up to 20 % more or less.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
