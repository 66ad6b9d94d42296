package storetest

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// turns is the rule of the claim order in the plainest way. It does not know of time: a
// record that is delayed stays so until it is changed.
type turns struct {
	ready map[ulid.ULID]turn
	front map[ulid.ULID]bool // of those that are queued: they come back from working
	last  map[share]uint64   // the turn that was given last
}

type turn struct {
	share
	number uint64
}

type share struct {
	lane     string
	priority int32
	owner    string
}

func newTurns() turns {
	return turns{ready: map[ulid.ULID]turn{}, front: map[ulid.ULID]bool{}, last: map[share]uint64{}}
}

// move follows a record from one head to the next; either may be zero.
func (t *turns) move(old, h store.Head) {
	front := old.State == store.Working || old.State == store.Queued && t.front[old.ID]
	was, wasReady := t.ready[old.ID]
	delete(t.ready, old.ID)
	delete(t.front, old.ID)
	if h.State != store.Queued {
		return
	}
	t.front[h.ID] = front
	now := turn{share: share{h.Lane, h.Priority, h.Owner}}
	switch {
	case h.RunAt.After(time.Now()):
		return
	case wasReady && was.share == now.share:
		now = was
	case !front:
		now.number = t.next(now.share)
		t.last[now.share] = now.number
	}
	t.ready[h.ID] = now
}

func (t *turns) next(s share) uint64 {
	least, waits := uint64(0), false
	for _, o := range t.ready {
		if o.number == 0 || o.lane != s.lane || o.priority != s.priority {
			continue
		}
		waits = waits || o.owner == s.owner
		if least == 0 || o.number < least {
			least = o.number
		}
	}
	if waits {
		return max(least, t.last[s]+1)
	}
	return max(least, 1)
}

func (t *turns) compare(a, b ulid.ULID) int {
	return cmp.Or(cmp.Compare(t.ready[a].number, t.ready[b].number), a.Compare(b))
}

// playTurns moves the records of a few owners about in two lanes, and holds the order in
// which they are claimed against the rule.
func (f *fixture) playTurns(seed uint64) {
	p := &player{fixture: f, Rand: rand.New(rand.NewPCG(seed, 0)), model: newModel(), start: now()}
	f.t.Cleanup(func() { p.tell(seed) })
	heads := func(n int, match func(store.Head) bool) []store.Head {
		list := headsOf(p.model.sorted(func(r *store.Record) bool { return match(r.Head) }))
		p.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:min(n, len(list))]
	}
	is := func(states ...store.State) func(store.Head) bool {
		return func(h store.Head) bool { return h.State == pick(p, states...) }
	}
	change := func(list []store.Head, state store.State, vary func(*store.Head)) {
		var batch []store.Change
		for _, h := range list {
			c := change(h, state, 0)
			c.Head.RunAt = time.Time{}
			vary(&c.Head)
			batch = append(batch, c)
		}
		p.note("change %d to %s", len(batch), state)
		got, err := f.Apply(f.ctx, batch)
		f.NoError(err)
		for i, c := range batch {
			p.agree(p.model.apply(c), got[i])
		}
	}
	keep := func(*store.Head) {}
	delay := func(h *store.Head) { h.RunAt = p.at(1) }
	move := func(h *store.Head) { h.Lane, h.Priority = pick(p, "a", "b"), int32(p.IntN(2)) }
	for i := range 400 {
		switch p.IntN(12) {
		case 0, 1, 2:
			owner, batch := pick(p, "", "ann", "anna", "bob"), []store.Insertion{}
			for range 1 + p.IntN(6) {
				h := by(owner)
				move(&h)
				if p.chance(10) {
					delay(&h)
				}
				batch = append(batch, insertion(h, 0))
			}
			p.note("insert %d of %q", len(batch), owner)
			f.insert(batch...)
			for _, in := range batch {
				p.model.insert(in)
			}
		case 3, 4, 5:
			p.claim()
		case 6:
			change(heads(3, is(store.Working)), store.Queued, keep)
		case 7:
			change(heads(2, is(store.Working, store.Queued)), store.Queued, delay)
		case 8:
			change(heads(3, is(store.Queued)), store.Queued, pick(p, move, keep))
		case 9:
			change(heads(3, is(store.Working, store.Queued)), done, keep)
		case 10:
			change(heads(2, is(done)), store.Queued, pick(p, move, keep, delay))
		default:
			for _, h := range heads(3, is(done, store.Queued)) {
				f.remove(h)
				p.model.remove(h.Ref())
			}
		}
		if !f.h.Volatile && i%50 == 49 {
			p.reopen()
		}
		if i%10 == 9 {
			for _, r := range p.model.sorted(everyRecord) {
				p.checkPosition(r)
			}
			p.Equal(p.model.lanes(), p.lanes())
		}
	}
}
