package foreman

import "github.com/foreman-go/foreman/store"

// startOf is the change that begins an attempt. A record that cannot be read fails:
// it would block its lane for ever.
func (f *Foreman) startOf(r store.Record) (entry, store.Change) {
	now := f.now()
	e, err := fromRecord(r)
	if err == nil {
		var l life
		if l, err = e.life().start(now); err == nil {
			var c store.Change
			if c, err = e.become(l, now, nil); err == nil {
				return e, c
			}
		}
	}
	return e, f.unreadable(r.Head, err)
}

// unreadable is the change that fails a job of which no more than its head can be read,
// if that. One that has ended has nothing to do any more but to expire.
func (f *Foreman) unreadable(h store.Head, cause error) store.Change {
	e, err := fromHead(h)
	if err != nil {
		e = entry{head: h, Job: Job{
			ID: h.ID, State: State(h.State), Attempt: h.Attempt, Sequence: h.Seq, Spec: Spec{Model: h.Kind},
			StartedAt: h.Started, FinishedAt: h.Finished, ExpiresAt: h.Expires,
		}}
	}
	now, l := f.now(), e.life()
	if !l.state.Terminal() {
		l.err = &Error{Type: Interrupted, Message: clip("the job cannot be read: "+cause.Error(), maxMessage), Attempt: l.attempt}
		l = l.finish(Failed, now, f.terms(&e.Spec))
	}
	c, err := e.become(l.forgetArtifacts(), now, nil)
	if err != nil {
		c = store.Change{Head: h} // as it was: it can be looked at, and deleted by hand
		c.Head.State = store.State(Failed)
	}
	return c
}
