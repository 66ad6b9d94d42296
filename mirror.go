package foreman

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"
)

// mirror is what an attempt of another process shows, for those who watch it here.
type mirror struct {
	watchers int
	live     *live // nil before anything has come
	asked    bool  // for what is missing, and no answer has come
}

// follow has a watcher of a job shown what an attempt elsewhere shows, until the
// returned function is called.
func (p *peers) follow(id ulid.ULID, w *watcher) (leave func()) {
	if p.mail == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mirrors[id]
	if m == nil {
		m = &mirror{}
		p.mirrors[id] = m
	}
	m.watchers++
	switch {
	case m.live != nil:
		w.join(m.live)
	case p.running && p.f.runs.get(id) == nil:
		p.ask(id, m)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if m.watchers--; m.watchers == 0 {
			delete(p.mirrors, id)
		}
	}
}

// ask asks the others to show an attempt. mu is held.
func (p *peers) ask(id ulid.ULID, m *mirror) {
	w := wish{Job: id}
	if m.live != nil {
		w.Sequence, w.Offset = m.live.sequence, m.live.length()
	}
	m.asked = true
	p.news.Watch = append(p.news.Watch, w)
	p.alarm.ring()
}

// askAll asks again for all that is watched here and does not run here.
func (p *peers) askAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news.Watch = nil
	for id, m := range p.mirrors {
		if p.f.runs.get(id) == nil {
			p.ask(id, m)
		}
	}
}

// keepAsking asks again in time, and forgets what others do not ask for any more, until
// ctx ends.
func (p *peers) keepAsking(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, wishAgain)
		p.askAll()
		p.mu.Lock()
		now := p.f.now()
		for id, until := range p.wanted {
			if until.Before(now) {
				delete(p.wanted, id)
			}
		}
		p.mu.Unlock()
	}
}

// shown passes on a piece of what an attempt elsewhere shows.
func (p *peers) shown(s *showing) {
	l, first := p.mirrored(s)
	if l == nil {
		return
	}
	if s.Progress != nil {
		if last := l.lastProgress(); last == nil || last.At.Before(s.Progress.At) {
			l.report(s.Progress)
		}
	}
	l.place(s.Offset, s.Output)
	if s.Over {
		l.finish()
	}
	if first {
		p.f.hub.shows(s.Job, l)
	}
}

// mirrored is the mirror that a piece belongs to; first says that it is new. It is nil for
// a piece that nobody watches, and for one behind others that have not come: these are
// asked for. So who begins to watch where others do already is told from the beginning.
func (p *peers) mirrored(s *showing) (l *live, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mirrors[s.Job]
	if m == nil || m.live != nil && m.live.sequence > s.Sequence {
		return nil, false
	}
	first = m.live == nil || m.live.sequence < s.Sequence
	end := int64(0)
	if !first {
		end = m.live.length()
	}
	if s.Offset > end && (!s.First || s.Asked > end) {
		if !m.asked {
			p.ask(s.Job, m)
		}
		return nil, false
	}
	m.asked = m.asked && !s.First
	if first {
		m.live = &live{sequence: s.Sequence, attempt: s.Attempt}
	}
	return m.live, first
}

// looks gives a channel that tells those who watch when to look at the store though they
// have heard nothing: never, if nobody shares it.
func (p *peers) looks() (look <-chan time.Time, stop func()) {
	if p.store == nil {
		return nil, func() {}
	}
	t := time.NewTicker(p.f.o.Lease / 2)
	return t.C, t.Stop
}
