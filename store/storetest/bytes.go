package storetest

import (
	"bytes"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func byteRules() []rule {
	return []rule{
		{"OddStrings", oddStrings},
		{"LongLanes", longLanes},
		{"LargeBlobs", largeBlobs},
		{"ReturnedBlobsAreTheCallers", returnedBlobs},
		{"ExtremeIDs", extremeIDs},
	}
}

// oddStrings puts every odd string into every string field.
func oddStrings(f *fixture) {
	odd := []string{
		"", " ", "\x00", "a\x00", "\x00a", "a\x00b", "\xff", "\xff\xff", "\xc3\x28", "\n", "%", "_", "'", `"`, `\`,
		"é", "e\u0301", "日本語", "\U0001F6E0", "A", "a", strings.Repeat("x", 512),
	}
	var heads []store.Head
	for _, s := range odd {
		in := insertion(queued(s), 1)
		in.Head.Owner, in.Head.Kind, in.Head.IdempotencyKey, in.Head.Worker = s, s, s, s
		in.Head.Labels = map[string]string{s: s}
		in.Head.Note, in.Head.Fingerprint, in.Spec, in.Events[0].Data = []byte(s), []byte(s), []byte(s), []byte(s)
		in.Deliveries = to(s, in.Events)
		in.Deliveries[0].Log, in.Deliveries[0].Body = []byte(s), []byte(s)
		heads = append(heads, f.insert(in)...)
	}
	for i, s := range odd {
		h := heads[i]
		r := f.get(h.ID)
		f.same(h, r.Head)
		f.Equal(s, string(r.Spec))
		f.Equal(s, r.Owner)
		f.Equal(s, r.Lane)
		f.Equal(s, r.Kind)
		f.Equal(s, r.IdempotencyKey)
		f.Equal(s, r.Worker)
		f.Equal(map[string]string{s: s}, r.Labels)
		f.Equal(s, string(f.events(h.ID)[0].Data))
		f.Equal(s, f.events(h.ID)[0].Owner)
		f.Equal(s, f.deliveries(h.ID)[0].Endpoint)

		f.Equal(ids(h), ids(f.list(store.Query{Labels: map[string]string{s: s}, Limit: 9})...), "label %q", s)
		if s != "" { // which does not restrict
			f.Equal(ids(h), ids(f.list(store.Query{Owner: s, Limit: 9})...), "owner %q", s)
			f.Equal(ids(h), ids(f.list(store.Query{Kind: s, Limit: 9})...), "kind %q", s)
			f.Equal([]place{{h.ID, 1}}, places(f.feed(store.FeedQuery{Owner: s, Limit: 9})), "feed of %q", s)
			again := queued("elsewhere")
			again.Owner, again.IdempotencyKey, again.Fingerprint = s, s, []byte(s)
			f.existing(again, h)
		}
		f.Equal(1, f.ready()[s], "lane %q", s)
		claimed := f.claimFor(s, 9, s, long)
		f.Equal(ids(h), recordIDs(claimed), "lane %q", s)
		f.Equal(s, claimed[0].Worker)
		d := f.sendAs(store.DeliveryClaim{Limit: 1, Room: noRoom(append(append([]string{}, odd[:i]...), odd[i+1:]...)...)})
		f.Len(d, 1)
		f.Equal(s, d[0].Endpoint)
		f.Equal(s, string(d[0].Body))
		f.Equal(s, string(d[0].Log))
		state := store.State("state " + s)
		f.Equal(state, f.apply(change(claimed[0].Head, state, 1)).State)
		f.Equal(ids(h), ids(f.list(store.Query{State: state, Limit: 9})...), "state %q", s)
	}
	f.Empty(f.lanes())
}

// Lanes of 512 bytes that differ in their last one only.
func longLanes(f *fixture) {
	base := strings.Repeat("m", 511)
	lanes := []string{base, base + "a", base + "b", base + "\x00", base[:510]}
	for i, lane := range lanes {
		for range i + 1 {
			f.add(queued(lane))
		}
	}
	for i, lane := range lanes {
		f.Equal(i+1, f.ready()[lane])
	}
	for i, lane := range lanes {
		records := f.claim(lane, 100)
		f.Len(records, i+1)
		for _, r := range records {
			f.Equal(lane, r.Lane)
		}
	}
}

func largeBlobs(f *fixture) {
	blob := func(b byte) []byte { return bytes.Repeat([]byte{b, 0, 255, b + 1}, 1<<18) } // 1 MiB
	in := sending("endpoint", 2)
	in.Spec, in.Events[0].Data, in.Deliveries[1].Body = blob(1), blob(2), blob(3)
	f.insert(in)
	r := f.claim("lane", 1)[0]
	f.True(bytes.Equal(blob(1), r.Spec))
	c := end(r.Head)
	c.Outcome = blob(4)
	head := f.apply(c)

	r = f.get(head.ID)
	f.same(head, r.Head)
	f.True(bytes.Equal(blob(1), r.Spec))
	f.True(bytes.Equal(blob(4), r.Outcome))
	f.True(bytes.Equal(blob(2), f.events(head.ID)[0].Data))
	f.True(bytes.Equal(blob(2), f.feed(store.FeedQuery{Limit: 9})[0].Data))
	f.settle(store.Delivered, f.send(1)[0])
	f.True(bytes.Equal(blob(3), f.send(1)[0].Body))

	c = change(head, failed, 1)
	c.Outcome = []byte("small")
	f.Equal("small", string(f.get(f.apply(c).ID).Outcome))
}

// spoil overwrites what a store returned.
func spoil(blobs ...[]byte) {
	for _, b := range blobs {
		for i := range b {
			b[i] = '!'
		}
	}
}

func spoilHead(h store.Head) {
	spoil(h.Note, h.Fingerprint)
	for k := range h.Labels {
		h.Labels[k] = "!"
	}
}

func returnedBlobs(f *fixture) {
	in := insertion(everyField(), 1)
	in.Head.RunAt = in.Head.Created
	in.Deliveries = to("endpoint", in.Events)
	in.Deliveries[0].Log = []byte("log")
	id := f.insert(in)[0].ID
	c := end(f.claim("lane", 1)[0].Head)
	c.Head.Deadline = now().Add(-long)
	spoilHead(f.apply(c))

	for range 2 { // the second reading finds what the first has left
		r := f.get(id)
		f.Equal(string(spec(id)), string(r.Spec))
		f.Equal(string(outcome(id)), string(r.Outcome))
		spoil(r.Spec, r.Outcome)
		heads := append(f.list(store.Query{}), f.overdue(10)...)
		heads = append(heads, f.try(end(store.Head{ID: id})).Head) // stale: the present head
		for _, h := range append(heads, r.Head) {
			f.unspoiled(h)
			spoilHead(h)
		}
		for _, e := range append(f.events(id), f.feed(store.FeedQuery{Limit: 9})...) {
			f.Equal(string(eventData(id, e.Seq)), string(e.Data))
			spoil(e.Data)
		}
		d := f.deliveries(id)[0]
		f.Equal("log", string(d.Log))
		spoil(d.Log)
	}

	for attempt := range 2 {
		d := f.send(1)[0]
		f.Equal(string(body(id, 1)), string(d.Body))
		f.Equal("log", string(d.Log))
		spoil(d.Body, d.Log)
		f.NoError(f.settled(store.Settlement{
			ID: id, Seq: 1, Attempt: attempt, State: store.Pending, Log: []byte("log"),
		})[0])
	}

	for range 2 {
		c = change(f.get(id).Head, store.Queued, 1)
		c.Head.Deadline = time.Time{}
		spoilHead(f.apply(c))
		r := f.claim("lane", 1)[0]
		f.Equal(string(spec(id)), string(r.Spec))
		f.unspoiled(r.Head)
		spoil(r.Spec)
		spoilHead(r.Head)
		f.unspoiled(f.extend(f.get(id).Head, long).Head)
	}
}

// unspoiled asserts that what a head points to is what everyField put there.
func (f *fixture) unspoiled(h store.Head) {
	f.t.Helper()
	f.Equal(map[string]string{"team": "blue", "tier": "1"}, h.Labels)
	f.Equal("note\x00", string(h.Note))
	f.Equal([]byte{0, 1, 254, 255}, h.Fingerprint)
}

// Ids need not come from the clock: only their order counts.
func extremeIDs(f *fixture) {
	var all []ulid.ULID
	for _, b := range []byte{0x00, 0x01, 0x7f, 0x80, 0xff} {
		id := ulid.ULID(bytes.Repeat([]byte{b}, 16))
		id[15] |= 1
		all = append(all, id)
		h := queued("lane")
		h.ID = id
		f.add(h)
	}
	f.Equal(all, recordIDs(f.claim("lane", 10)))
	listed := ids(f.list(store.Query{Limit: 2})...)
	for i, id := range listed {
		f.Equal(all[len(all)-1-i], id)
		f.Equal([]place{{id, 1}, {id, 2}}, places(f.events(id)))
	}
	f.Len(listed, len(all))
}
