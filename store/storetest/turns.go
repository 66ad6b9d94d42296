package storetest

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

func turnRules() []rule {
	rules := []rule{
		{"InOneBatch", turnsOneBatch},
		{"Names", turnsNames},
		{"GivenBackGoesFirst", turnsGivenBack},
		{"GivenBackStaysFirst", turnsGivenBackMoves},
		{"DelayedAfterWorkGoesFirst", turnsDelayedAfterWork},
		{"DelayedBeforeWork", turnsDelayedBeforeWork},
		{"DueBeforeIsBefore", turnsDueBefore},
		{"ChangeKeepsTheTurn", turnsChange},
		{"MoveIsANewTurn", turnsMove},
		{"QueuedAgainIsANewTurn", turnsQueuedAgain},
		{"NothingIsLeft", turnsNothingLeft},
		{"ManyOwners", turnsManyOwners},
		{"FixedSeed", func(f *fixture) { f.playTurns(1) }},
		{"RandomSeed", func(f *fixture) { f.playTurns(f.seed()) }},
	}
	for _, s := range turnScripts {
		rules = append(rules, rule{s.name, func(f *fixture) { f.Equal(s.want, f.script(s.do)) }})
	}
	return rules
}

// In a script a letter inserts a record of that owner, a capital one with a higher
// priority, a digit claims so many, and * all there are. What it gives is the owners of
// what was claimed.
var turnScripts = []struct{ name, do, want string }{
	{"OneOwner", "aaAaA*", "AAaaa"},
	{"TwoOwners", "aaabbb*", "ababab"},
	{"OneHasAHundred", strings.Repeat("a", 100) + "bbb*", "ababab" + strings.Repeat("a", 97)},
	{"ThreeOwners", "aaaabbc*", "abcabaa"},
	{"NewcomerIsNotBehindABacklog", "aaaaaa3b*", "aaa" + "abaa"},
	{"NewcomerIsNotAheadOfEveryone", "aabb1c*", "a" + "bcab"},
	{"NewcomersAreInOrder", "aaaa2bcd*", "aa" + "abcda"},
	{"OneAtATime", "aaaaaab2b2b2b2b*", "ab" + "ab" + "ab" + "ab" + "aba"},
	{"TwoAtATime", "aaaaaabb4bb4bb*", "abab" + "abab" + "abab"},
	{"AgainWhileOthersWait", "aaaa1b1a1b*", "a" + "a" + "b" + "abaa"},
	{"BacklogGrows", "aab1aaa2b*", "a" + "ba" + "abaa"},
	{"PriorityFirst", "aaabbAAB*", "ABA" + "ababa"},
	{"PrioritiesApart", "aaaaAb1B1Ab*", "A" + "B" + "A" + "ababaa"},
	{"EmptyBeginsAnew", "aaab*bbba*", "abaa" + "babb"},
}

// by is a new head of an owner.
func by(owner string) store.Head {
	h := queued("lane")
	h.Owner = owner
	return h
}

func (f *fixture) script(do string) string {
	f.t.Helper()
	var got strings.Builder
	for _, c := range do {
		if unicode.IsLetter(c) {
			h := by(string(unicode.ToLower(c)))
			if unicode.IsUpper(c) {
				h.Priority = 1
			}
			f.add(h)
			continue
		}
		limit := 1000
		if unicode.IsDigit(c) {
			limit = int(c - '0')
		}
		positions := map[ulid.ULID]string{}
		for _, h := range f.list(store.Query{State: store.Queued, Limit: 200}) {
			positions[h.ID] = f.position(h.ID)
		}
		for i, r := range f.claim("lane", limit) {
			f.Equal(fmt.Sprintf("%d ahead", i), positions[r.ID], "the position is the rank in claim order")
			owner := r.Owner
			if r.Priority > 0 {
				owner = strings.ToUpper(owner)
			}
			got.WriteString(owner)
		}
	}
	return got.String()
}

// owners claims up to limit records and returns whose they are.
func (f *fixture) owners(limit int) string {
	f.t.Helper()
	var list []string
	for _, r := range f.claim("lane", limit) {
		list = append(list, r.Owner)
	}
	return strings.Join(list, "")
}

// giveBack queues what was claimed again.
func (f *fixture) giveBack(records ...store.Record) {
	f.t.Helper()
	for _, r := range records {
		f.apply(change(r.Head, store.Queued, 0))
	}
}

func turnsOneBatch(f *fixture) {
	var batch []store.Insertion
	for _, owner := range strings.Split("aaaabbc", "") {
		batch = append(batch, insertion(by(owner), 1))
	}
	f.insert(batch...)
	f.Equal("abcabaa", f.owners(10))
}

// Owners that begin or end alike, or have no name, are different ones.
func turnsNames(f *fixture) {
	names := []string{"", "a", "aa", "a\x00", "\x00", "\xff"}
	for _, name := range names {
		f.add(by(name))
		f.add(by(name))
	}
	for range 2 {
		for _, name := range names {
			f.Equal(name, f.claim("lane", 1)[0].Owner)
		}
	}
}

func turnsGivenBack(f *fixture) {
	older := by("c") // it has the least id
	f.script("aaaabb")
	records := f.claim("lane", 3)
	f.giveBack(records[2], records[0], records[1])
	f.add(older)
	f.script("dD")
	got := f.claim("lane", 4)
	f.Equal("d", got[0].Owner, "priority is still first")
	f.Equal(ids(records[0].Head, records[2].Head, records[1].Head), recordIDs(got[1:]), "by age, as they were inserted")
	f.Equal("cbdaa", f.owners(10), "and nobody else has lost a turn")
}

// It is first wherever it is moved, until it is claimed.
func turnsGivenBackMoves(f *fixture) {
	f.script("abAB")
	records := f.claim("lane", 3)
	a, b := records[2], records[1]
	f.Equal("ab", a.Owner+b.Owner)
	f.giveBack(b, a)
	for _, r := range []store.Record{b, a} {
		c := change(f.get(r.ID).Head, store.Queued, 0)
		c.Head.Priority, c.Head.RunAt = 0, now().Add(time.Hour)
		c = change(f.apply(c), store.Queued, 0)
		c.Head.RunAt = time.Time{}
		f.apply(c)
	}
	f.script("c")
	f.Equal(ids(a.Head, b.Head), recordIDs(f.claim("lane", 2)))
	f.Equal("bc", f.owners(10))
}

func turnsDelayedAfterWork(f *fixture) {
	f.script("aaaab")
	for attempts, r := range f.claim("lane", 2) {
		c := change(r.Head, store.Queued, 1)
		c.Head.Attempt = 1 - attempts // one that was not counted is first as well
		c.Head.RunAt = now().Add(brief)
		f.apply(c)
	}
	f.script("cccA")
	f.eventually(func() bool { return f.ready()["lane"] == 9 }, "all to be ready")
	f.Equal("a", f.owners(1), "the one of a higher priority")
	f.Equal("ab", f.owners(2))
	f.Equal("acacac", f.owners(10))
}

func turnsDelayedBeforeWork(f *fixture) {
	h, other := by("b"), by("a") // their ids are the least
	f.script("aaaa")
	h.RunAt, h.Attempt = now().Add(brief), 3
	other.RunAt = h.RunAt.Add(time.Microsecond)
	f.insert(insertion(other, 0), insertion(h, 0))
	f.eventually(func() bool { return f.ready()["lane"] == 6 }, "all to be ready")
	f.script("c")
	f.Equal("bac", f.owners(3), "a newcomer when it becomes due")
	records := f.claim("lane", 10)
	f.Len(records, 4)
	f.Equal(other.ID, records[3].ID, "behind what its owner had ready before")
}

// What has become due is before what is inserted after that, whoever notices it when.
func turnsDueBefore(f *fixture) {
	var heads []store.Head
	var batch []store.Insertion
	soon := now().Add(10 * brief)
	for i := range 3 {
		h := by("a")
		h.RunAt = soon.Add(-time.Duration(i) * time.Microsecond)
		heads = append(heads, h)
		batch = append(batch, insertion(h, 0))
	}
	f.insert(batch...)
	f.eventually(func() bool { return time.Now().After(soon.Add(brief)) }, "all to be due")
	last := f.add(by("a"))
	f.Equal(ids(heads[2], heads[1], heads[0], last), recordIDs(f.claim("lane", 10)))
}

func turnsChange(f *fixture) {
	f.script("aaabb")
	for _, h := range f.list(store.Query{Limit: 10}) {
		c := change(h, store.Queued, 1)
		c.Head.Note, c.Head.RunAt = []byte("changed"), now().Add(-time.Minute)
		f.apply(c)
	}
	f.Equal("ababa", f.script("*"))
}

// What moves to another lane or priority is there like one that was just inserted.
func turnsMove(f *fixture) {
	f.script("aaabb")
	heads := f.list(store.Query{Limit: 10}) // newest first
	for _, h := range heads[2:] {
		c := change(h, store.Queued, 0)
		c.Head.Priority = 1
		f.apply(c)
	}
	f.add(by("c"))
	f.Equal("A", f.script("1"))
	c := change(f.get(heads[4].ID).Head, store.Queued, 0)
	c.Head.Priority = 0
	f.apply(c)
	f.Equal("A"+"abcb", f.script("*"))
}

func turnsQueuedAgain(f *fixture) {
	first := f.add(by("a"))
	f.script("aab")
	ended := f.apply(change(f.claim("lane", 1)[0].Head, done, 1))
	f.Equal(first.ID, ended.ID)
	f.apply(change(ended, store.Queued, 1))
	f.Equal("baa", f.owners(3))
	f.Equal(ids(first), recordIDs(f.claim("lane", 10)))
}

// Whatever becomes of records, an owner who has nothing ready is like one who never had.
func turnsNothingLeft(f *fixture) {
	for _, empty := range []func(store.Head){
		func(h store.Head) { f.remove(h) },
		func(h store.Head) { f.apply(change(h, "canceled", 1)) },
		func(h store.Head) {
			c := change(h, store.Queued, 0)
			c.Head.Lane = "other"
			f.apply(c)
		},
		func(h store.Head) {
			c := change(h, store.Queued, 0)
			c.Head.RunAt = now().Add(time.Hour)
			f.apply(c)
		},
		func(store.Head) { f.claim("lane", 1) },
	} {
		f.script("aaaaaaab")
		for _, h := range f.list(store.Query{State: store.Queued, Limit: 8})[:8] {
			empty(h)
		}
		f.Zero(f.ready()["lane"])
		f.Equal("baba", f.script("bbaa*"))
	}
	f.claim("other", 100)
	f.remove(f.list(store.Query{Limit: 100})...)
	f.Empty(f.lanes())
}

// However many owners there are, each has its turn.
func turnsManyOwners(f *fixture) {
	const owners, each = 1000, 3
	for n := range owners {
		var batch []store.Insertion
		for range each {
			batch = append(batch, insertion(by(fmt.Sprint(n)), 0))
		}
		f.insert(batch...)
	}
	for range each {
		seen := map[string]bool{}
		for range 4 {
			for _, r := range f.claim("lane", owners/4) {
				seen[r.Owner] = true
			}
		}
		f.Len(seen, owners)
	}
	f.Empty(f.lanes())
}
