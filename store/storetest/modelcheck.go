package storetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

const seedVariable = "FOREMAN_STORETEST_SEED"

func modelRules() []rule {
	return []rule{
		{"FixedSeed", func(f *fixture) { f.play(1) }},
		{"RandomSeed", func(f *fixture) { f.play(f.seed()) }},
	}
}

// seed is a new one, or the one that is to be repeated.
func (f *fixture) seed() uint64 {
	f.t.Helper()
	s := os.Getenv(seedVariable)
	if s == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	f.NoError(err, "%s is a number", seedVariable)
	return seed
}

// tell says how to repeat what has failed.
func (p *player) tell(seed uint64) {
	if p.t.Failed() {
		p.t.Logf("repeat with %s=%d; the latest calls:\n%s", seedVariable, seed, strings.Join(p.trace, "\n"))
	}
}

// play makes random calls, the same for the same seed except for ids, and
// compares all that can be read with the model at every thirtieth.
func (f *fixture) play(seed uint64) {
	p := &player{fixture: f, Rand: rand.New(rand.NewPCG(seed, 0)), model: newModel(), start: now()}
	f.t.Cleanup(func() { p.tell(seed) })
	calls := 1500
	if testing.Short() {
		calls = 300
	}
	for i := range calls {
		switch n := p.IntN(100); {
		case n < 20 && len(p.model.records) < 100:
			p.insert()
		case n < 45:
			p.apply()
		case n < 60:
			p.claim()
		case n < 65:
			p.extend()
		case n < 75:
			p.remove()
		case n < 87:
			p.send()
		default:
			p.settle()
		}
		if !f.h.Volatile && i%400 == 399 {
			p.reopen()
		}
		if i%30 == 29 {
			p.check()
		}
	}
	p.check()
}

// reopen leaves no delivery claimed, for whether that lease goes on is the
// store's to say, as it is for the leases of records.
func (p *player) reopen() {
	p.note("reopen")
	for _, o := range p.model.all() {
		if o.hidden {
			s := settlement(o.Delivery, store.Failed)
			p.NoError(p.settled(s)[0])
			p.NoError(p.model.settle(s))
		}
	}
	p.fixture.reopen()
	for _, r := range p.model.records {
		if r.State == store.Working {
			now := p.get(r.ID).Head
			p.sameButLease(r.Head, now)
			r.Deadline = now.Deadline
		}
	}
}

// check compares all that can be read.
func (p *player) check() {
	p.t.Helper()
	all := p.model.sorted(everyRecord)
	listed := p.list(store.Query{Limit: 40})
	p.Equal(ids(headsOf(all)...), ids(listed...))
	for i, r := range all {
		p.same(r.Head, listed[i])
		p.checkRecord(r)
	}
	for id := range p.model.deliveries {
		p.checkDeliveries(id)
	}
	for range 5 {
		q := store.Query{
			Owner: pick(p, "", "ann", "anna", "never taken"), Kind: pick(p, "", "", "x"),
			State: pick(p, "", store.Queued, store.Working, done), Limit: 1 + p.IntN(20),
			Labels: pick(p, nil, nil, map[string]string{"k": "1"}, map[string]string{"k": "2", "l": "1"}),
		}
		p.Equal(matching(q, headsOf(all)), ids(p.list(q)...), "%+v", q)
	}
	p.Equal(p.model.backlog(), p.backlog())
	p.checkFeed("")
	p.checkFeed("ann")
	p.Equal(p.model.lanes(), p.lanes())
	p.checkOverdue()
	p.checkUpcoming()
}

func (p *player) checkRecord(want *store.Record) {
	p.t.Helper()
	got := p.get(want.ID)
	p.same(want.Head, got.Head)
	p.Equal(want.Spec, got.Spec)
	p.Equal(want.Outcome, got.Outcome)
	events := p.events(want.ID)
	p.Len(events, int(want.Seq))
	for i, e := range events {
		p.EqualValues(i+1, e.Seq)
		p.Equal(eventData(e.ID, e.Seq), e.Data)
		p.Equal(want.Owner, e.Owner)
	}
	p.checkPosition(want)
}

func (p *player) checkPosition(want *store.Record) {
	p.t.Helper()
	ahead := 0
	position := "not ready"
	for _, r := range p.model.ready(want.Lane) {
		if r.ID == want.ID {
			position = strconv.Itoa(ahead) + " ahead"
		}
		ahead++
	}
	p.Equal(position, p.position(want.ID))
}

func (p *player) checkDeliveries(id ulid.ULID) {
	p.t.Helper()
	want, got := p.model.deliveries[id], p.deliveries(id)
	p.Len(got, len(want))
	for i, o := range want {
		d := got[i]
		p.Equal(o.Seq, d.Seq)
		p.Equal(o.State, d.State)
		p.Equal(o.Attempt, d.Attempt)
		p.Equal(o.Endpoint, d.Endpoint)
		p.Equal(string(o.Log), string(d.Log))
		p.Empty(d.Body)
		if o.State == store.Pending && !o.hidden {
			p.Equal(o.Due, d.Due)
		}
	}
}

func (p *player) checkFeed(owner string) {
	p.t.Helper()
	steps := map[place]int{}
	for _, c := range p.model.feed {
		if owner == "" || owner == c.owner {
			steps[c.place] = c.step
		}
	}
	got := p.feed(store.FeedQuery{Owner: owner, Limit: 1 + p.IntN(50)})
	p.Len(got, len(steps))
	last := 0
	latest := map[ulid.ULID]uint64{}
	for _, e := range got {
		step, known := steps[place{e.ID, e.Seq}]
		p.True(known)
		p.GreaterOrEqual(step, last, "in commit order")
		p.Greater(e.Seq, latest[e.ID], "in order of sequence")
		last, latest[e.ID] = step, e.Seq
	}
}

func (p *player) checkOverdue() {
	p.t.Helper()
	p.eventually(func() bool {
		want, got := p.model.overdue(), p.overdue(1000)
		if len(want) != len(got) {
			return false
		}
		for i, h := range got { // those that share a deadline may come in any order
			if !h.Deadline.Equal(want[i].Deadline) || h.State != want[i].State && (!h.State.Ended() || !want[i].State.Ended()) {
				return false
			}
			p.same(p.model.records[h.ID].Head, h)
		}
		return true
	}, "overdue records to be those of the model")
}

// checkUpcoming allows a store to name, of deadlines, either the earliest of all or the
// earliest that has not come yet.
func (p *player) checkUpcoming() {
	p.t.Helper()
	before := time.Now()
	got := p.upcoming()
	var run, deadline, delivery []time.Time
	for _, r := range p.model.records {
		if r.State == store.Queued {
			run = append(run, r.RunAt)
		}
		deadline = append(deadline, r.Deadline)
	}
	for _, o := range p.model.front() {
		delivery = append(delivery, o.Due)
	}
	p.Equal(earliest(run, before), got.Run)
	p.Contains([]time.Time{earliest(deadline, time.Time{}), earliest(deadline, before), earliest(deadline, time.Now())}, got.Deadline)
	p.Contains([]time.Time{earliest(delivery, before), earliest(delivery, time.Now())}, got.Delivery)
}

// earliest returns the earliest of the times that lie after the one given.
func earliest(times []time.Time, after time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if t.After(after) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
