package storetest

import (
	"github.com/foreman-go/foreman/store"
)

func idempotencyRules() []rule {
	return []rule{
		{"SameFingerprint", keySameFingerprint},
		{"OtherFingerprint", keyOtherFingerprint},
		{"PerOwner", keyPerOwner},
		{"None", keyNone},
		{"PresentHead", keyPresentHead},
		{"WithinBatch", keyWithinBatch},
		{"SameInsertionAgain", keySameInsertion},
		{"FreedByDelete", keyFreedByDelete},
		{"FailedInsertKeepsNoKey", keyFailedInsert},
	}
}

// existing asserts that inserting head adds nothing and finds the record.
func (f *fixture) existing(head, found store.Head) {
	f.t.Helper()
	in := insertion(head, 2)
	in.Deliveries = to("endpoint", in.Events)
	before := f.observe()
	results, err := f.Insert(f.ctx, []store.Insertion{in})
	f.NoError(err)
	f.Len(results, 1)
	f.NoError(results[0].Err)
	f.True(results[0].Existing)
	f.same(found, results[0].Head)
	f.Equal(before, f.observe(), "nothing changed")
}

// reused asserts that the key of head belongs to something else.
func (f *fixture) reused(head store.Head) {
	f.t.Helper()
	before := f.observe()
	results, err := f.Insert(f.ctx, []store.Insertion{insertion(head, 1)})
	f.NoError(err)
	f.Len(results, 1)
	f.ErrorIs(results[0].Err, store.ErrKeyReused)
	f.False(results[0].Existing)
	f.Equal(before, f.observe(), "nothing changed")
}

func keySameFingerprint(f *fixture) {
	first := f.add(owned("owner", "key", "same"))
	for range 2 {
		again := owned("owner", "key", "same")
		f.existing(again, first)
		f.gone(again.ID)
	}
	bare := owned("owner", "no fingerprint", "")
	bare.Fingerprint = nil
	bare = f.add(bare)
	f.existing(owned("owner", "no fingerprint", ""), bare)
}

func keyOtherFingerprint(f *fixture) {
	first := f.add(owned("owner", "key", "first"))
	f.reused(owned("owner", "key", "second"))
	f.reused(owned("owner", "key", ""))
	f.existing(owned("owner", "key", "first"), first)
}

func keyPerOwner(f *fixture) {
	// Pairs of owner and key that look alike when they are put in a row.
	pairs := [][2]string{
		{"", "key"},
		{"owner", "key"},
		{"other", "key"},
		{"a", "bc"},
		{"ab", "c"},
		{"a\x00b", "c"},
		{"a", "b\x00c"},
		{"a\x00", "b"},
		{"a", "\x00b"},
		{"a/b", "c"},
		{"a", "b/c"},
		{"owner", "KEY"},
		{"owner", "key "},
	}
	var heads []store.Head
	for _, p := range pairs {
		heads = append(heads, f.add(owned(p[0], p[1], "same")))
	}
	for i, p := range pairs {
		f.existing(owned(p[0], p[1], "same"), heads[i])
	}
}

func keyNone(f *fixture) {
	for range 3 {
		f.add(owned("owner", "", ""))
	}
	f.Len(f.list(store.Query{Limit: 10}), 3)
}

func keyPresentHead(f *fixture) {
	head := f.add(owned("owner", "key", "same"))
	for _, state := range []store.State{store.Queued, done} {
		head = f.apply(change(head, state, 1))
		f.existing(owned("owner", "key", "same"), head)
	}
	f.EqualValues(3, head.Version)
}

func keyWithinBatch(f *fixture) {
	first, second, third := owned("owner", "key", "same"), owned("owner", "key", "same"), owned("owner", "key", "other")
	fourth := owned("else", "key", "other")
	results, err := f.Insert(f.ctx, []store.Insertion{
		insertion(first, 1), insertion(second, 1), insertion(third, 1), insertion(fourth, 1),
	})
	f.NoError(err)
	f.Len(results, 4)
	f.NoError(results[0].Err)
	f.False(results[0].Existing)
	f.NoError(results[1].Err)
	f.True(results[1].Existing)
	f.same(results[0].Head, results[1].Head)
	f.ErrorIs(results[2].Err, store.ErrKeyReused)
	f.NoError(results[3].Err)
	f.False(results[3].Existing)
	f.Equal(ids(fourth, first), ids(f.list(store.Query{Limit: 10})...))
}

// A caller that never saw the answer sends the very same insertion again.
func keySameInsertion(f *fixture) {
	in := insertion(owned("owner", "key", "same"), 1)
	head := f.insert(in)[0]
	results, err := f.Insert(f.ctx, []store.Insertion{in})
	f.NoError(err)
	f.Len(results, 1)
	f.NoError(results[0].Err)
	f.True(results[0].Existing)
	f.same(head, results[0].Head)
}

func keyFreedByDelete(f *fixture) {
	first := f.add(owned("owner", "key", "first"))
	other := f.add(owned("other", "key", "first"))
	f.remove(first)
	second := f.add(owned("owner", "key", "second"))
	f.existing(owned("owner", "key", "second"), second)
	f.existing(owned("other", "key", "first"), other)

	f.remove(f.apply(end(second)))
	f.add(owned("owner", "key", "third"))
}

// An insertion that fails must not leave its key behind.
func keyFailedInsert(f *fixture) {
	taken := f.add(queued("lane"))
	exists, broken := insertion(owned("owner", "one", "x"), 0), insertion(owned("owner", "two", "x"), 0)
	exists.Head.ID = taken.ID
	broken.Head.Seq = 5
	results, err := f.Insert(f.ctx, []store.Insertion{exists, broken})
	f.NoError(err)
	f.Len(results, 2)
	f.ErrorIs(results[0].Err, store.ErrExists)
	f.ErrorIs(results[1].Err, store.ErrInvalid)
	f.add(owned("owner", "one", "y"))
	f.add(owned("owner", "two", "y"))
}
