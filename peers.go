package foreman

import (
	"context"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// peers are the other processes that share the store. They are told what has changed, so
// that they look at once at what they would find later, and shown what attempts here
// generate, if somebody watches there.
type peers struct {
	f     *Foreman
	store store.Shared    // nil if nobody shares the store
	mail  store.Messenger // nil if it carries no messages
	alarm alarm           // rings when there is something to send

	mu      sync.Mutex
	running bool // somebody sends
	news    message
	changed map[ulid.ULID]struct{} // goes with the news
	relays  map[ulid.ULID]*relay
	wanted  map[ulid.ULID]time.Time // what others watch, until when
	mirrors map[ulid.ULID]*mirror
}

const (
	// News are sent at once, and after that no more often than this.
	newsPause = 5 * time.Millisecond
	// When sending fails, this is waited.
	newsRetry = time.Second
	// More jobs than this are told of as everything.
	maxChanged = 5000
)

func (p *peers) init(f *Foreman) {
	p.f = f
	p.store, _ = f.o.Store.(store.Shared)
	p.mail, _ = f.o.Store.(store.Messenger)
	p.alarm.init()
	p.changed = map[ulid.ULID]struct{}{}
	p.relays = map[ulid.ULID]*relay{}
	p.wanted = map[ulid.ULID]time.Time{}
	p.mirrors = map[ulid.ULID]*mirror{}
}

// tell adds to the news. While Run is not under way nobody sends them: others look for
// themselves.
func (p *peers) tell(add func(*message)) {
	if p.mail == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		add(&p.news)
		p.alarm.ring()
	}
}

// ready tells that something is ready, or will be at a time.
func (p *peers) ready() { p.tell(func(m *message) { m.Ready = true }) }

// paused tells that what is paused has changed.
func (p *peers) paused() { p.tell(func(m *message) { m.Paused = true }) }

// moved tells that a job has a new event.
func (p *peers) moved(id ulid.ULID) {
	p.tell(func(m *message) {
		switch {
		case m.All:
		case len(p.changed) >= maxChanged:
			m.All = true
			clear(p.changed)
		default:
			p.changed[id] = struct{}{}
		}
	})
}

// run sends and hears news until ctx ends.
func (p *peers) run(ctx context.Context) {
	if p.mail == nil {
		if p.store != nil {
			p.look(ctx)
		}
		return
	}
	p.mu.Lock()
	p.running = true
	p.news = message{Ready: true, Paused: true, All: true} // whatever was done before Run
	p.mu.Unlock()
	var others sync.WaitGroup
	others.Go(func() { p.hear(ctx) })
	others.Go(func() { p.keepAsking(ctx) })
	for ctx.Err() == nil {
		p.send(ctx)
		pause(ctx, newsPause)
		p.alarm.sleep(ctx, p.f.now(), p.f.now().Add(time.Hour))
	}
	others.Wait()
	// What ended last is news too.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), newsRetry)
	defer cancel()
	p.send(last)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
	clear(p.relays)
	clear(p.wanted)
}

// send sends all the news there are.
func (p *peers) send(ctx context.Context) {
	messages := p.collect()
	if len(messages) == 0 {
		return
	}
	err := p.mail.Publish(ctx, messages...)
	if err == nil || ctx.Err() != nil {
		return
	}
	p.f.o.Logger.Warn("other processes cannot be told of changes now; they will find them later", "error", err)
	p.tell(func(m *message) { m.Ready, m.Paused, m.All = true, true, true })
	pause(ctx, newsRetry)
}

// collect takes the news, as messages: what attempts have generated comes before the
// changes that end them.
func (p *peers) collect() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for id, r := range p.relays {
		more, on := r.pieces(id)
		out = append(out, more...)
		if !on || p.wanted[id].Before(p.f.now()) {
			r.live.relay(nil)
			delete(p.relays, id)
		}
	}
	m := p.news
	p.news = message{}
	for ; len(m.Watch) > maxWishes; m.Watch = m.Watch[maxWishes:] {
		some := message{Watch: m.Watch[:maxWishes]}
		out = append(out, some.String())
	}
	if len(m.Watch) > 0 {
		some := message{Watch: m.Watch}
		out = append(out, some.String())
		m.Watch = nil
	}
	for id := range p.changed {
		if m.Jobs = append(m.Jobs, id); len(m.Jobs) == maxNamed {
			out = append(out, m.String())
			m = message{}
		}
	}
	clear(p.changed)
	if !m.empty() {
		out = append(out, m.String())
	}
	return out
}

// hear acts on what others tell until ctx ends.
func (p *peers) hear(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.mail.Subscribe(ctx, p.heard, p.lost); ctx.Err() == nil {
			p.f.o.Logger.Warn("other processes cannot be heard now; trying again", "error", err)
			pause(ctx, newsRetry)
		}
	}
}

// look is for stores whose processes cannot tell each other anything.
func (p *peers) look(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, p.f.hub.lookPause())
		p.f.hub.wakeAll()
		p.f.desk.wake()
	}
}

// lost makes up for messages that may have been missed.
func (p *peers) lost() {
	p.f.hub.wakeAll()
	p.f.desk.wake()
	p.f.outbox.alarm.ring()
	p.askAll()
}

func (p *peers) heard(text string) {
	m, err := parseMessage(text)
	if err != nil {
		p.f.o.Logger.Warn("another process has sent what cannot be read; is it of another version?", "error", err)
		return
	}
	if m.Ready || m.Paused {
		p.f.desk.wake()
	}
	if m.All {
		p.f.hub.wakeAll()
		p.f.beat.ring()
	}
	for _, id := range m.Jobs {
		p.f.hub.changed(id)
		if p.f.runs.get(id) != nil {
			p.f.beat.ring() // it may have been canceled
		}
	}
	for _, w := range m.Watch {
		p.want(w)
	}
	if m.Show != nil {
		p.shown(m.Show)
	}
}
