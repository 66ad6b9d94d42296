package store

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// State is the state of a record. The store gives a meaning to two of them;
// every other state is an end.
type State string

// The states that the store knows.
const (
	Queued  State = "queued"  // can be claimed once RunAt has come
	Working State = "working" // claimed by Head.Worker until Head.Deadline
)

// Ended reports whether the record is neither queued nor working.
func (s State) Ended() bool { return s != Queued && s != Working }

// Head is the part of a record that changes, and by which records are found.
// Times are kept to the microsecond, in UTC; a zero time means none.
type Head struct {
	ID      ulid.ULID
	Version uint64 // the fence: grows by 1 with every change
	Seq     uint64 // the number of the latest event
	State   State

	Owner    string            // whose record it is
	Lane     string            // which records may be claimed together
	Kind     string            // what lists filter by; for a job, its model
	Labels   map[string]string // what lists filter by
	Priority int32             // higher is claimed first
	Attempt  int               // how many times it was started
	Worker   string            // who has claimed it

	Created  time.Time
	RunAt    time.Time // not claimed before
	Started  time.Time
	Finished time.Time
	Expires  time.Time // when the record is to be removed

	// Deadline is when the record next needs somebody's attention, whatever the
	// reason. The store does not act on it: [Queue.Overdue] reports it. While a
	// record is working it is the end of its lease, and the store's to set; a
	// change from working to working keeps it.
	Deadline time.Time

	IdempotencyKey string // unique for each owner; empty for none
	Fingerprint    []byte // of what was asked for under that key

	Note []byte // a few hundred bytes of the caller's own; not looked into
}

// Record is a head with its blobs.
type Record struct {
	Head
	Spec    []byte
	Outcome []byte // nil until the record has ended
}

// Ref names a record at one version.
type Ref struct {
	ID      ulid.ULID
	Version uint64
}

// Ref names the record at its present version.
func (h *Head) Ref() Ref { return Ref{ID: h.ID, Version: h.Version} }

// Insertion is a new record with the events and deliveries that come with it.
type Insertion struct {
	Head       Head
	Spec       []byte
	Events     []Event
	Deliveries []Delivery
}

// Change replaces the head of a record.
type Change struct {
	// Head is the new head. Head.Version is the version that it was made from;
	// the store adds 1. ID, Owner, Created, IdempotencyKey and Fingerprint
	// never change: the store keeps the old ones whatever Head says.
	Head Head
	// Outcome, if not nil, replaces the outcome. A change to [Queued] removes it.
	Outcome []byte
	// Events follow each other without a gap from the old Head.Seq, and end
	// with the new one; anything else is [ErrInvalid].
	Events []Event
	// Deliveries are those that the events cause, in order of sequence.
	Deliveries []Delivery
}

// Result tells what became of one item of a batch.
type Result struct {
	Head     Head  // see the method
	Existing bool  // the head is that of an earlier record with the same idempotency key
	Err      error // nil, or why the item was not carried out
}

// Event is one numbered thing that happened to a record.
type Event struct {
	ID    ulid.ULID // of the record
	Seq   uint64    // within the record, from 1
	Owner string    // of the record; set by the store
	Pos   uint64    // place in the feed, growing in commit order, with gaps; set by the store
	Data  []byte    // not looked into
}

// Query selects heads for a list. Zero fields do not restrict.
type Query struct {
	Owner         string
	State         State
	Kind          string
	Labels        map[string]string // every one must match
	CreatedAfter  time.Time         // Created is later than this
	CreatedBefore time.Time         // Created is earlier than this
	Before        ulid.ULID         // only ids below: the Next of the page before
	Limit         int               // below 1 is 1
}

// Page is one page of a list. Next is the Before of the following page, and
// zero on the last one.
type Page struct {
	Heads []Head
	Next  ulid.ULID
}

// FeedQuery selects events of the feed.
type FeedQuery struct {
	Owner string // only this owner's; empty for all
	After uint64 // only positions above
	Limit int    // below 1 is 1
}

// FeedPage is a part of the feed. Next is the After that continues it; it
// grows even when no event matched. More says that something may follow now.
type FeedPage struct {
	Events []Event
	Next   uint64
	More   bool
}
