package storetest

import (
	"math"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func insertRules() []rule {
	return []rule{
		{"EveryField", insertEveryField},
		{"Times", insertTimes},
		{"Labels", insertLabels},
		{"Blobs", insertBlobs},
		{"VersionStartsAtOne", insertVersion},
		{"EmptyBatch", insertEmptyBatch},
		{"LargeBatch", insertLargeBatch},
		{"ExistingID", insertExistingID},
		{"EventNumbers", insertEventNumbers},
		{"BadItemSparesNeighbours", insertBadItem},
		{"UnknownRecord", insertUnknown},
	}
}

// everyField is a queued head with no field left out, and times in a zone and
// to a precision that a store does not keep.
func everyField() store.Head {
	zone := time.FixedZone("somewhere", 5*3600+1800)
	at := func(hours int) time.Time {
		return time.Now().Add(time.Duration(hours) * time.Hour).In(zone).Truncate(time.Second).Add(123456 * time.Microsecond)
	}
	return store.Head{
		ID: ulid.Make(), State: store.Queued,
		Owner: "owner", Lane: "lane", Kind: "kind", Labels: map[string]string{"team": "blue", "tier": "1"},
		Priority: -7, Attempt: 3, Worker: "worker before",
		Created: at(-1), RunAt: at(1), Started: at(-2), Finished: at(-3), Expires: at(9), Deadline: at(5),
		IdempotencyKey: "key", Fingerprint: []byte{0, 1, 254, 255}, Note: []byte("note\x00"),
	}
}

func insertEveryField(f *fixture) {
	in := insertion(everyField(), 2)
	want := in.Head
	want.Version = 1

	head := f.insert(in)[0]
	f.same(want, head)
	r := f.get(head.ID)
	f.same(want, r.Head)
	f.Equal(in.Spec, r.Spec)
	f.Nil(r.Outcome)

	listed := f.list(store.Query{})
	f.Len(listed, 1)
	f.same(want, listed[0])
}

func insertTimes(f *fixture) {
	for name, at := range map[string]time.Time{
		"none":         {},
		"epoch":        time.Unix(0, 0),
		"before epoch": time.Date(1931, 1, 1, 0, 0, 0, 1000, time.UTC),
		"far":          time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
	} {
		head := queued("lane")
		for _, t := range times(&head) {
			*t = at
		}
		kept := f.add(head)
		f.same(kept, f.get(head.ID).Head)
		for _, t := range times(&kept) {
			f.Equal(at.UTC(), *t, name)
		}
	}

	fine := queued("lane")
	fine.Started = time.Date(2031, 2, 3, 4, 5, 6, 123456789, time.UTC)
	kept := f.add(fine)
	f.Equal(kept.Started, f.get(fine.ID).Started, "the result tells what is kept")
	f.WithinDuration(fine.Started, kept.Started, time.Microsecond)
	f.Zero(kept.Started.Nanosecond() % 1000)
}

func insertLabels(f *fixture) {
	for name, labels := range map[string]map[string]string{
		"nil":   nil,
		"empty": {},
		"some":  {"a": "1", "b": "", "": "c", "ключ": "значение"},
	} {
		head := queued("lane")
		head.Labels = labels
		f.same(f.add(head), f.get(head.ID).Head)
		f.Len(f.get(head.ID).Labels, len(labels), name)
		for k, v := range labels {
			f.Equal(v, f.get(head.ID).Labels[k], name)
		}
	}
}

func insertBlobs(f *fixture) {
	for name, blob := range map[string][]byte{"nil": nil, "empty": {}, "one": {0}} {
		in := insertion(queued("lane"), 0)
		in.Spec, in.Head.Note, in.Head.Fingerprint = blob, blob, blob
		r := f.get(f.insert(in)[0].ID)
		for _, got := range [][]byte{r.Spec, r.Note, r.Fingerprint} {
			f.Equal(string(blob), string(got), name)
		}
		f.Nil(r.Outcome)
	}
}

func insertVersion(f *fixture) {
	for _, version := range []uint64{0, 1, 99, math.MaxUint64} {
		head := queued("lane")
		head.Version = version
		f.EqualValues(1, f.add(head).Version)
		f.EqualValues(1, f.get(head.ID).Version)
	}
}

func insertEmptyBatch(f *fixture) {
	for _, batch := range [][]store.Insertion{nil, {}} {
		results, err := f.Insert(f.ctx, batch)
		f.NoError(err)
		f.Empty(results)
	}
	f.Empty(f.list(store.Query{Limit: 10}))
}

func insertLargeBatch(f *fixture) {
	var batch []store.Insertion
	for range 500 {
		batch = append(batch, sending("endpoint", 2))
	}
	heads := f.insert(batch...)
	f.Len(f.list(store.Query{Limit: 100}), len(batch))
	f.Len(f.feed(store.FeedQuery{Limit: 300}), 2*len(batch))
	for i, in := range batch {
		f.Equal(in.Head.ID, heads[i].ID, "results are in the order of the batch")
		f.Equal(in.Spec, f.get(in.Head.ID).Spec)
	}
}

func insertExistingID(f *fixture) {
	first := f.insert(sending("endpoint", 1))[0]
	before := f.observe()

	again := sending("elsewhere", 2)
	again.Head.ID, again.Spec, again.Head.Lane = first.ID, []byte("another"), "other"
	again.Events = events(first.ID, 1, 2)
	again.Deliveries = to("elsewhere", again.Events)
	results, err := f.Insert(f.ctx, []store.Insertion{again})
	f.NoError(err)
	f.Len(results, 1)
	f.ErrorIs(results[0].Err, store.ErrExists)
	f.Equal(before, f.observe(), "nothing changed")

	twin := insertion(queued("lane"), 1)
	results, err = f.Insert(f.ctx, []store.Insertion{twin, twin})
	f.NoError(err)
	f.Len(results, 2)
	f.NoError(results[0].Err)
	f.ErrorIs(results[1].Err, store.ErrExists, "twice in one batch")
}

// misnumbered lists, for a record whose latest event is last, events that do
// not follow it without a gap, or do not end with the sequence of the head.
func misnumbered(last uint64) map[string]struct {
	head   uint64
	events []uint64
} {
	return map[string]struct {
		head   uint64
		events []uint64
	}{
		"gap before":   {last + 2, []uint64{last + 2}},
		"gap between":  {last + 3, []uint64{last + 1, last + 3}},
		"gap, counted": {last + 2, []uint64{last + 1, last + 3}},
		"far off":      {last + 1, []uint64{last + 7}},
		"twice":        {last + 1, []uint64{last + 1, last + 1}},
		"old number":   {last, []uint64{last}},
		"backwards":    {last + 2, []uint64{last + 2, last + 1}},
		"head ahead":   {last + 2, []uint64{last + 1}},
		"head behind":  {last, []uint64{last + 1}},
		"no event":     {last + 1, nil},
		"last missing": {last + 3, []uint64{last + 1, last + 2}},
	}
}

func insertEventNumbers(f *fixture) {
	for name, c := range misnumbered(0) {
		in := insertion(queued("lane"), 0)
		in.Head.Seq, in.Events = c.head, numbered(in.Head.ID, c.events...)
		results, err := f.Insert(f.ctx, []store.Insertion{in})
		f.NoError(err, name)
		f.Len(results, 1)
		f.ErrorIs(results[0].Err, store.ErrInvalid, name)
		f.gone(in.Head.ID)
	}
	f.Empty(f.feed(store.FeedQuery{Limit: 10}))
	f.Empty(f.lanes())
}

func insertBadItem(f *fixture) {
	taken := f.add(owned("", "", ""))
	keyed := f.add(owned("owner", "key", "fingerprint"))

	exists, reused, broken := insertion(taken, 1), insertion(owned("owner", "key", "other"), 1), insertion(queued("lane"), 1)
	broken.Head.Seq = 9
	good := []store.Insertion{sending("a", 1), sending("b", 1), sending("c", 1), sending("d", 1)}
	results, err := f.Insert(f.ctx, []store.Insertion{good[0], exists, good[1], reused, good[2], broken, good[3]})
	f.NoError(err)
	f.Len(results, 7)
	f.ErrorIs(results[1].Err, store.ErrExists)
	f.ErrorIs(results[3].Err, store.ErrKeyReused)
	f.ErrorIs(results[5].Err, store.ErrInvalid)
	for i, in := range good {
		f.NoError(results[2*i].Err)
		f.Equal(in.Head.ID, results[2*i].Head.ID)
		f.Equal(in.Spec, f.get(in.Head.ID).Spec)
		f.Len(f.events(in.Head.ID), 1)
		f.Len(f.deliveries(in.Head.ID), 1)
	}
	f.gone(reused.Head.ID)
	f.gone(broken.Head.ID)
	f.Equal(map[string]int{"lane": 6}, f.ready())
	f.ElementsMatch(recordIDs(f.claim("lane", 10)),
		ids(taken, keyed, results[0].Head, results[2].Head, results[4].Head, results[6].Head))
}

func insertUnknown(f *fixture) {
	f.add(queued("lane"))
	unknown := ulid.Make()
	f.gone(unknown)
	f.gone(ulid.ULID{})
	f.Empty(f.events(unknown))
	f.Empty(f.deliveries(unknown))
}
