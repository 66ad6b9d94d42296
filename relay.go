package foreman

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// relay is an attempt of this process that others are shown.
type relay struct {
	live  *live
	at    place
	said  bool // that nothing follows
	first bool // the next piece is the first of what was asked for
	asked int64
}

const (
	// Others are shown an attempt for so long after they have asked, and ask again in time.
	wishLasts = 30 * time.Second
	wishAgain = wishLasts / 3
	// What more are asked for is not shown before it is asked for again.
	maxWanted = 2 * maxWatchers
)

// want notes that somebody elsewhere watches a job, and has it shown to them if it runs
// here.
func (p *peers) want(w wish) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.wanted[w.Job]; !ok && len(p.wanted) >= maxWanted {
		return
	}
	p.wanted[w.Job] = p.f.now().Add(wishLasts)
	a := p.f.runs.get(w.Job)
	if a == nil || !a.task.live.begun() {
		return
	}
	at := place{}
	if w.Sequence == a.task.live.sequence {
		at.offset = max(w.Offset, 0)
	}
	r := p.relay(w.Job, a.task.live, at)
	r.at.offset, r.at.reports, r.said = min(r.at.offset, at.offset), 0, false
	r.first, r.asked = true, r.at.offset
	p.alarm.ring()
}

// shows says that an attempt has something to show for the first time.
func (p *peers) shows(id ulid.ULID, l *live) {
	if p.mail == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running && p.wanted[id].After(p.f.now()) {
		p.relay(id, l, place{})
		p.alarm.ring()
	}
}

// relay has an attempt shown to others. mu is held.
func (p *peers) relay(id ulid.ULID, l *live, at place) *relay {
	r := p.relays[id]
	if r == nil || r.live != l {
		r = &relay{live: l, at: at}
		p.relays[id] = r
		l.relay(p.alarm.ring)
	}
	return r
}

// pieces are what has come since, as messages; on is whether more can follow.
func (r *relay) pieces(id ulid.ULID) (out []string, on bool) {
	for {
		e, ok, news := r.live.next(&r.at, maxShown)
		s := showing{Job: id, Sequence: r.live.sequence, Attempt: r.live.attempt, Offset: r.at.offset - int64(len(e.Output))}
		switch {
		case ok:
			s.Output, s.Progress = e.Output, e.Progress
		case news != nil || r.said:
			return out, news != nil
		default:
			s.Over, r.said = true, true
		}
		if r.first {
			s.First, s.Asked, r.first = true, r.asked, false
		}
		m := message{Show: &s}
		out = append(out, m.String())
	}
}
