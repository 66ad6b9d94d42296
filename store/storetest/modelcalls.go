package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// player makes random calls to a store and to a model of it, and holds every
// answer of the store against that of the model.
type player struct {
	*fixture
	*rand.Rand
	model *model
	start time.Time
	ticks int64    // makes all times different
	trace []string // the latest calls
}

func (p *player) note(format string, args ...any) {
	p.model.step++
	p.trace = append(p.trace, fmt.Sprintf("%d: ", p.model.step)+fmt.Sprintf(format, args...))
	p.trace = p.trace[max(0, len(p.trace)-30):]
}

// at is a time so many hours from the start of the test, or none for 0.
func (p *player) at(hours int) time.Time {
	if hours == 0 {
		return time.Time{}
	}
	p.ticks++
	return p.start.Add(time.Duration(hours)*time.Hour + time.Duration(p.ticks)*time.Microsecond)
}

func pick[T any](p *player, list ...T) T { return list[p.IntN(len(list))] }

func (p *player) chance(percent int) bool { return p.IntN(100) < percent }

// any is the head of a record that is kept, or zero if there is none.
func (p *player) any(match func(*store.Record) bool) store.Head {
	if list := p.model.sorted(match); len(list) > 0 {
		return list[p.IntN(len(list))].Head
	}
	return store.Head{}
}

func everyRecord(*store.Record) bool { return true }

// vary sets at random what a change may change.
func (p *player) vary(h *store.Head) {
	h.Lane, h.Kind = pick(p, "a", "ab", "b", ""), pick(p, "", "x", "y")
	h.Priority = int32(p.IntN(4) - 1)
	h.Labels = pick(p, nil, map[string]string{"k": "1"}, map[string]string{"k": "2", "l": "1"})
	h.RunAt, h.Deadline = p.at(pick(p, 0, 0, -1, 1)), p.at(pick(p, 0, 0, 0, -2, 5))
	if h.RunAt.After(p.start) || h.State == store.Queued && h.Deadline.Before(p.start) {
		h.Deadline = time.Time{} // whether a queued record past its deadline counts as ready is open
	}
	h.Note = fmt.Append(nil, p.IntN(1000))
}

// outgoing makes deliveries of some of the events.
func (p *player) outgoing(events []store.Event) []store.Delivery {
	var list []store.Delivery
	for _, e := range events {
		if p.chance(50) {
			d := to(pick(p, "one", "two", "three"), []store.Event{e})[0]
			d.Due = p.at(pick(p, 0, 0, -1, 2))
			list = append(list, d)
		}
	}
	return list
}

func (p *player) insert() {
	var batch []store.Insertion
	for range 1 + p.IntN(4) {
		h := store.Head{ID: ulid.Make(), State: store.Queued, Owner: pick(p, "", "ann", "anna"), Created: p.at(-10)}
		p.vary(&h)
		broken := false
		switch p.IntN(10) {
		case 0:
			if old := p.any(everyRecord); !old.ID.IsZero() {
				h.ID = old.ID
			}
		case 1:
			broken = true
		case 2, 3, 4:
			h.IdempotencyKey, h.Fingerprint = pick(p, "k", "l", "m"), []byte(pick(p, "1", "1", "2"))
		}
		in := insertion(h, p.IntN(4))
		in.Deliveries = p.outgoing(in.Events)
		if broken {
			in.Head.Seq++
		}
		batch = append(batch, in)
	}
	p.note("insert %d", len(batch))
	got, err := p.Insert(p.ctx, batch)
	p.NoError(err)
	p.Len(got, len(batch))
	for i, in := range batch {
		p.agree(p.model.insert(in), got[i])
	}
}

// agree compares an answer of the store with that of the model.
func (p *player) agree(want, got store.Result) {
	p.t.Helper()
	if want.Err == nil {
		p.NoError(got.Err)
	} else {
		p.ErrorIs(got.Err, want.Err)
	}
	p.Equal(want.Existing, got.Existing)
	if !want.Head.ID.IsZero() {
		p.same(want.Head, got.Head)
	}
}

func (p *player) apply() {
	var batch []store.Change
	for range 1 + p.IntN(4) {
		h := p.any(everyRecord)
		if h.ID.IsZero() || p.chance(5) {
			h.ID, h.Version = ulid.Make(), 1
		}
		state := h.State
		switch {
		case p.chance(30):
			state = pick(p, done, failed)
		case h.State == store.Working && p.chance(50), h.State.Ended() && p.chance(50):
			state = store.Queued
		}
		c := change(h, state, p.IntN(3))
		p.vary(&c.Head)
		c.Head.Owner, c.Head.IdempotencyKey = "never taken", "never taken"
		c.Deliveries = p.outgoing(c.Events)
		if state.Ended() && p.chance(50) {
			c.Outcome = fmt.Append(nil, "outcome ", p.IntN(1000))
		}
		switch p.IntN(12) {
		case 0:
			c.Head.Version--
		case 1:
			c.Head.Version++
		case 2:
			c.Head.Seq++
		}
		batch = append(batch, c)
	}
	p.note("apply %d", len(batch))
	got, err := p.Apply(p.ctx, batch)
	p.NoError(err)
	p.Len(got, len(batch))
	for i, c := range batch {
		p.agree(p.model.apply(c), got[i])
	}
}

func (p *player) claim() {
	c := store.Claim{
		Worker: pick(p, "w1", "w2"), Lane: pick(p, "a", "ab", "b", "", "none"),
		Limit: p.IntN(5), Lease: pick(p, long, time.Millisecond),
	}
	p.note("claim %+v", c)
	start := func(r store.Record) store.Change { // the same whenever it runs
		ch := change(r.Head, store.Working, int(r.Seq%3))
		ch.Head.Attempt++
		if len(ch.Events) > 0 && r.Attempt%2 == 0 {
			ch.Deliveries = to("one", ch.Events[:1])
		}
		return ch
	}
	got, err := p.Claim(p.ctx, c, start)
	p.NoError(err)
	want := p.model.ready(c.Lane)
	want = want[:min(len(want), c.Limit)]
	p.Equal(ids(headsOf(want)...), recordIDs(got))
	for i, r := range got {
		ch := start(*want[i])
		ch.Head.Worker, ch.Head.Deadline = c.Worker, r.Deadline
		p.WithinDuration(time.Now().Add(c.Lease), r.Deadline, patience)
		p.agree(p.model.apply(ch), store.Result{Head: r.Head})
		p.Equal(spec(r.ID), r.Spec)
		p.Nil(r.Outcome)
	}
}

func (p *player) extend() {
	h := p.any(func(r *store.Record) bool { return r.State == store.Working })
	ref, lease := h.Ref(), pick(p, long, time.Millisecond)
	want := store.Result{Head: h}
	switch {
	case h.ID.IsZero() || p.chance(10):
		ref.ID, want = ulid.Make(), store.Result{Err: store.ErrNotFound}
	case p.chance(20):
		ref.Version--
		want.Err = store.ErrStale
	}
	p.note("extend %v by %v", ref, lease)
	got, err := p.Extend(p.ctx, []store.Ref{ref}, lease)
	p.NoError(err)
	p.Len(got, 1)
	if want.Err == nil {
		want.Head.Deadline = got[0].Head.Deadline
		p.WithinDuration(time.Now().Add(lease), want.Head.Deadline, patience)
		p.model.records[h.ID].Deadline = want.Head.Deadline
	}
	p.agree(want, got[0])
}

func (p *player) remove() {
	var batch []store.Ref
	for range 1 + p.IntN(4) {
		h := p.any(everyRecord)
		switch p.IntN(8) {
		case 0:
			h.ID = ulid.Make()
		case 1:
			h.Version++
		}
		batch = append(batch, h.Ref())
	}
	p.note("delete %v", batch)
	got, err := p.Delete(p.ctx, batch)
	p.NoError(err)
	p.Len(got, len(batch))
	for i, ref := range batch {
		want := p.model.remove(ref)
		if want.Err == nil {
			want.Head = store.Head{} // what it says of a record that is gone is open
		}
		p.agree(want, got[i])
	}
}

func (p *player) send() {
	c := store.DeliveryClaim{
		Worker: "sender", Limit: 1 + p.IntN(6), PerEndpoint: p.IntN(3), Lease: long,
		Room:  pick(p, nil, noRoom("two"), map[string]int{"one": 2}, map[string]int{"one": -1, "none": 1, "three": 1}),
		After: pick(p, "", "one", "two", "zzz"),
	}
	p.note("claim deliveries %+v", c)
	got, err := p.ClaimDeliveries(p.ctx, c)
	p.NoError(err)

	room := func(endpoint string) int {
		if n, named := c.Room[endpoint]; named {
			return max(n, 0)
		}
		if c.PerEndpoint > 0 {
			return c.PerEndpoint
		}
		return c.Limit
	}
	want := 0
	for endpoint, n := range p.model.sendable() {
		want += min(n, room(endpoint))
	}
	p.Len(got, min(want, c.Limit))
	taken := map[string]int{}
	for _, d := range got {
		i := slices.IndexFunc(p.model.front(), func(o *outgoing) bool { return o.ID == d.ID && o.Seq == d.Seq })
		p.GreaterOrEqual(i, 0, "the earliest pending delivery of its record")
		o := p.model.front()[i]
		p.False(o.hidden)
		p.False(o.Due.After(time.Now()))
		taken[d.Endpoint]++
		p.LessOrEqual(taken[d.Endpoint], room(d.Endpoint))
		p.Equal(o.Endpoint, d.Endpoint)
		p.Equal(o.URL, d.URL)
		p.Equal(o.Attempt, d.Attempt)
		p.Equal(string(o.Log), string(d.Log))
		p.Equal(body(d.ID, d.Seq), d.Body)
		p.Equal(store.Pending, d.State)
		o.hidden = true
	}
}

// settle ends, retries, stops and reopens: deliveries that are first in their record,
// and any others, pending or settled.
func (p *player) settle() {
	var batch []store.Settlement
	list := p.model.front()
	if p.chance(40) {
		list = p.model.all()
	}
	p.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, o := range list[:min(len(list), 4)] {
		s := settlement(o.Delivery, pick(p, store.Delivered, store.Delivered, store.Failed, store.Pending, store.Superseded, store.Stopped))
		if s.State == store.Pending {
			s.Due = p.at(pick(p, 0, -1, 2))
		}
		switch p.IntN(8) {
		case 0:
			s.Attempt++
		case 1:
			s.Seq += 1000
		}
		batch = append(batch, s)
	}
	p.note("settle %d", len(batch))
	got, err := p.SettleDeliveries(p.ctx, batch)
	p.NoError(err)
	p.Len(got, len(batch))
	for i, s := range batch {
		p.agree(store.Result{Err: p.model.settle(s)}, store.Result{Err: got[i]})
	}
}
