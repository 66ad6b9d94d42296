package storetest

import (
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func applyRules() []rule {
	return []rule{
		{"QueuedHasNoOutcome", applyQueuedHasNoOutcome},
		{"EveryField", applyEveryField},
		{"FixedFields", applyFixedFields},
		{"Stale", applyStale},
		{"Unknown", applyUnknown},
		{"EventNumbers", applyEventNumbers},
		{"WithoutEvent", applyWithoutEvent},
		{"SeveralEvents", applySeveralEvents},
		{"Deliveries", applyDeliveries},
		{"Outcome", applyOutcome},
		{"EmptyOutcome", applyEmptyOutcome},
		{"MixedBatch", applyMixedBatch},
		{"RecordTwiceInBatch", applyTwice},
		{"EmptyBatch", applyEmptyBatch},
		{"MovesIndexes", applyMovesIndexes},
	}
}

// try makes one change and returns its result, whatever it is.
func (f *fixture) try(c store.Change) store.Result {
	f.t.Helper()
	results, err := f.Apply(f.ctx, []store.Change{c})
	f.NoError(err)
	f.Len(results, 1)
	return results[0]
}

func applyEveryField(f *fixture) {
	old := f.add(queued("lane"))
	c := change(everyField(), done, 0)
	c.Head.ID, c.Head.Version, c.Head.Seq = old.ID, old.Version, old.Seq+2
	c.Events, c.Outcome = events(old.ID, old.Seq+1, 2), outcome(old.ID)

	want := c.Head
	want.Version = 2
	want.Owner, want.Created = old.Owner, old.Created
	want.IdempotencyKey, want.Fingerprint = old.IdempotencyKey, old.Fingerprint

	f.same(want, f.apply(c))
	r := f.get(old.ID)
	f.same(want, r.Head)
	f.Equal(spec(old.ID), r.Spec, "the spec never changes")
	f.Equal(outcome(old.ID), r.Outcome)
}

func applyFixedFields(f *fixture) {
	old := f.add(everyField())
	c := change(old, store.Queued, 1)
	c.Head.Owner, c.Head.Created = "thief", now().Add(time.Hour)
	c.Head.IdempotencyKey, c.Head.Fingerprint = "taken", []byte("other")
	head := f.apply(c)

	want := old
	want.Version, want.Seq = 2, old.Seq+1
	f.same(want, head)
	f.same(want, f.get(old.ID).Head)
	f.Empty(f.list(store.Query{Owner: "thief", Limit: 10}))
	f.Equal(ids(old), ids(f.list(store.Query{Owner: old.Owner, Limit: 10})...))
	for _, e := range f.events(old.ID) {
		f.Equal(old.Owner, e.Owner)
	}

	same := owned(old.Owner, old.IdempotencyKey, string(old.Fingerprint))
	f.existing(same, head)
	f.add(owned(old.Owner, "taken", "x"))
	f.add(owned("thief", "taken", "x"))
}

func applyStale(f *fixture) {
	old := f.insert(sending("endpoint", 1))[0]
	present := f.apply(change(old, store.Queued, 2))
	before := f.observe()

	ahead := present
	ahead.Version++
	late := end(old)
	late.Deliveries = to("endpoint", late.Events)
	for name, c := range map[string]store.Change{
		"late":            late,
		"late, no event":  change(old, failed, 0),
		"ahead":           end(ahead),
		"version 0":       change(store.Head{ID: old.ID}, done, 1),
		"to queued again": change(old, store.Queued, 1),
	} {
		result := f.try(c)
		f.ErrorIs(result.Err, store.ErrStale, name)
		f.same(present, result.Head)
		f.Equal(before, f.observe(), "%s: nothing changed", name)
	}
}

func applyUnknown(f *fixture) {
	f.add(queued("lane"))
	before := f.observe()
	unknown := queued("lane")
	unknown.Version = 1
	f.ErrorIs(f.try(end(unknown)).Err, store.ErrNotFound)
	f.gone(unknown.ID)
	f.Equal(before, f.observe(), "nothing changed")
}

func applyEventNumbers(f *fixture) {
	head := f.insert(sending("endpoint", 2))[0]
	before := f.observe()
	for name, bad := range misnumbered(head.Seq) {
		c := change(head, done, 0)
		c.Head.Seq, c.Events = bad.head, numbered(head.ID, bad.events...)
		c.Outcome = outcome(head.ID)
		f.ErrorIs(f.try(c).Err, store.ErrInvalid, name)
		f.Equal(before, f.observe(), "%s: nothing changed", name)
	}
	f.apply(end(head))
}

func applyWithoutEvent(f *fixture) {
	old := f.add(queued("lane"))
	c := change(old, store.Queued, 0)
	c.Head.Note = []byte("new")
	head := f.apply(c)
	f.Equal(old.Version+1, head.Version)
	f.Equal(old.Seq, head.Seq)
	f.Equal([]byte("new"), f.get(old.ID).Note)
	f.Len(f.feed(store.FeedQuery{Limit: 10}), 1)
}

func applySeveralEvents(f *fixture) {
	head := f.insert(insertion(queued("lane"), 0))[0]
	for n := range 4 {
		head = f.apply(change(head, store.Queued, n))
	}
	f.EqualValues(6, head.Seq)
	f.EqualValues(5, head.Version)
	for i, e := range f.events(head.ID) {
		f.EqualValues(i+1, e.Seq)
		f.Equal(eventData(head.ID, e.Seq), e.Data)
	}
	f.Len(f.events(head.ID), 6)
}

func applyDeliveries(f *fixture) {
	head := f.insert(sending("first", 1))[0]
	c := change(head, store.Queued, 3)
	c.Deliveries = append(to("second", c.Events[:1]), to("third", c.Events[2:])...)
	f.apply(c)

	list := f.deliveries(head.ID)
	f.Len(list, 3)
	for i, want := range []store.Delivery{{Seq: 1, Endpoint: "first"}, {Seq: 2, Endpoint: "second"}, {Seq: 4, Endpoint: "third"}} {
		f.Equal(want.Seq, list[i].Seq)
		f.Equal(want.Endpoint, list[i].Endpoint)
		f.Equal(store.Pending, list[i].State)
	}
}

func applyOutcome(f *fixture) {
	head := f.add(queued("lane"))
	steps := []struct {
		name    string
		state   store.State
		outcome []byte
		want    []byte
	}{
		{"ended without one", failed, nil, nil},
		{"set", done, []byte("one"), []byte("one")},
		{"kept", done, nil, []byte("one")},
		{"replaced", failed, []byte("two"), []byte("two")},
		{"removed by queued", store.Queued, nil, nil},
		{"stays removed", done, nil, nil},
		{"set again", done, []byte("three"), []byte("three")},
		{"removed, not replaced, by queued", store.Queued, []byte("four"), nil},
	}
	for _, s := range steps {
		c := change(head, s.state, 1)
		c.Outcome = s.outcome
		head = f.apply(c)
		r := f.get(head.ID)
		f.Equal(s.want, r.Outcome, s.name)
		f.Equal(spec(head.ID), r.Spec, s.name)
	}
}

// An empty outcome is one: it replaces what was there.
func applyEmptyOutcome(f *fixture) {
	head := f.add(queued("lane"))
	for _, blob := range [][]byte{[]byte("one"), {}} {
		c := change(head, done, 0)
		c.Outcome = blob
		head = f.apply(c)
		f.Equal(string(blob), string(f.get(head.ID).Outcome))
	}
}

func applyMixedBatch(f *fixture) {
	heads := f.insert(sending("a", 1), sending("b", 1), sending("c", 1), sending("d", 1))
	moved := f.apply(change(heads[1], store.Queued, 1))
	unknown := queued("lane")
	unknown.Version = 1
	broken := end(heads[2])
	broken.Head.Seq++
	first, last := end(heads[0]), end(heads[3])
	first.Deliveries, last.Deliveries = to("a", first.Events), to("d", last.Events)

	results, err := f.Apply(f.ctx, []store.Change{first, end(heads[1]), end(unknown), broken, last})
	f.NoError(err)
	f.Len(results, 5)
	f.NoError(results[0].Err)
	f.ErrorIs(results[1].Err, store.ErrStale)
	f.same(moved, results[1].Head)
	f.ErrorIs(results[2].Err, store.ErrNotFound)
	f.ErrorIs(results[3].Err, store.ErrInvalid)
	f.NoError(results[4].Err)
	for i, c := range map[int]store.Change{0: first, 4: last} {
		f.same(results[i].Head, f.get(c.Head.ID).Head)
		f.Equal(done, results[i].Head.State)
		f.EqualValues(2, results[i].Head.Version)
		f.Len(f.events(c.Head.ID), 2)
		f.Len(f.deliveries(c.Head.ID), 2)
	}
	f.same(moved, f.get(moved.ID).Head)
	f.same(heads[2], f.get(heads[2].ID).Head)
	f.Equal(map[string]int{"lane": 2}, f.ready())
}

func applyTwice(f *fixture) {
	one, two := f.add(queued("lane")), f.add(queued("lane"))

	results, err := f.Apply(f.ctx, []store.Change{change(one, failed, 1), change(one, done, 1)})
	f.NoError(err)
	f.Len(results, 2)
	f.NoError(results[0].Err)
	f.ErrorIs(results[1].Err, store.ErrStale, "the second was made from the old version")
	f.same(results[0].Head, results[1].Head)
	f.Equal(failed, f.get(one.ID).State)

	first := change(two, failed, 1)
	between := first.Head
	between.Version++
	results, err = f.Apply(f.ctx, []store.Change{first, change(between, done, 1)})
	f.NoError(err)
	f.heads(results, 2)
	f.EqualValues(3, results[1].Head.Version)
	f.Equal(done, f.get(two.ID).State)
	f.Len(f.events(two.ID), 3)
}

func applyEmptyBatch(f *fixture) {
	results, err := f.Apply(f.ctx, nil)
	f.NoError(err)
	f.Empty(results)
	results, err = f.Delete(f.ctx, nil)
	f.NoError(err)
	f.Empty(results)
	results, err = f.Extend(f.ctx, nil, long)
	f.NoError(err)
	f.Empty(results)
	errs, err := f.SettleDeliveries(f.ctx, nil)
	f.NoError(err)
	f.Empty(errs)
}

// What a head is found by changes with it.
func applyMovesIndexes(f *fixture) {
	head := queued("from")
	head.Kind, head.Labels, head.Priority = "old", map[string]string{"k": "old"}, 1
	head = f.add(head)
	rival := f.add(ranked("to", 2))

	c := change(head, store.Queued, 0)
	c.Head.Lane, c.Head.Kind, c.Head.Labels, c.Head.Priority = "to", "new", map[string]string{"k": "new"}, 3
	head = f.apply(c)
	for q, want := range map[*store.Query][]ulid.ULID{
		{Kind: "old"}: {}, {Labels: map[string]string{"k": "old"}}: {},
		{Kind: "new"}: {head.ID}, {Labels: map[string]string{"k": "new"}}: {head.ID},
	} {
		f.Equal(want, ids(f.list(*q)...))
	}
	f.Equal(map[string]int{"to": 2}, f.ready())
	f.EqualValues(3, f.lanes()["to"].Priority)
	f.Equal("0 ahead", f.position(head.ID))
	f.Equal("1 ahead", f.position(rival.ID))
	f.Empty(f.claim("from", 10))
	f.Equal(ids(head, rival), recordIDs(f.claim("to", 10)))
}

// An outcome goes when the record is queued, even one that it had before it ended.
func applyQueuedHasNoOutcome(f *fixture) {
	f.add(queued("lane"))
	c := change(f.claim("lane", 1)[0].Head, store.Working, 1)
	c.Outcome = outcome(c.Head.ID)
	head := f.apply(c)
	f.Equal(c.Outcome, f.get(head.ID).Outcome)
	f.Nil(f.get(f.apply(change(head, store.Queued, 1)).ID).Outcome)
}
