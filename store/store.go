package store

import (
	"context"
	"io"
	"time"

	"github.com/oklog/ulid/v2"
)

// Store keeps records, the events and deliveries they cause, and the order in
// which they are claimed. See the package comment for the rules every method
// keeps.
type Store interface {
	Records
	Queue
	Outbox
	// Close releases the store after every write on its way has ended. A call
	// made afterwards returns [ErrClosed]. Closing twice is not an error.
	io.Closer
}

// Records is the part of a [Store] that keeps records and their events.
type Records interface {
	// Insert adds new records. Head.Version is ignored and becomes 1.
	//
	// When the head has an idempotency key that a record of the same owner
	// already holds, nothing is inserted: if the fingerprints are equal the
	// result has Existing set and the head of that record, otherwise its error
	// is [ErrKeyReused]. An id that exists is [ErrExists], and so is that of a
	// deleted record while deliveries of it are pending. A store that has reached
	// its size limit answers [ErrFull].
	Insert(ctx context.Context, in []Insertion) ([]Result, error)

	// Get returns one record whole, or [ErrNotFound].
	Get(ctx context.Context, id ulid.ULID) (Record, error)

	// List returns heads, newest id first, that match the query. It does a
	// bounded amount of work, so a page may hold fewer heads than the limit,
	// even none, and still have a Next.
	List(ctx context.Context, q Query) (Page, error)

	// Apply makes changes, each a compare-and-swap on the version it was made
	// from: see [Change]. A result has the new head; with [ErrStale], the
	// record's present head; [ErrNotFound] if there is no such record.
	Apply(ctx context.Context, changes []Change) ([]Result, error)

	// Delete removes records that still have the version named, with their
	// blobs, events and idempotency keys. Deliveries that are pending are kept
	// until they are settled. Results are as for Apply.
	Delete(ctx context.Context, refs []Ref) ([]Result, error)

	// Events returns the events of one record with a sequence above after,
	// in order, at most limit of them. An unknown record has none.
	Events(ctx context.Context, id ulid.ULID, after uint64, limit int) ([]Event, error)

	// Feed returns events of all records in the order in which they were
	// committed.
	Feed(ctx context.Context, q FeedQuery) (FeedPage, error)
}

// Queue is the part of a [Store] that hands records to workers.
type Queue interface {
	// Claim takes up to Limit records of one lane that are queued, due
	// (RunAt has come) and not past their deadline, in claim order. For each
	// one it calls start with the record, without its outcome, and applies the
	// change that start returns, in the same transaction; if that is to working,
	// with Head.Worker and Head.Deadline set from the claim. It returns the records
	// as changed. A spec that cannot be read any more is nil: start is to end its
	// record.
	//
	// No record is ever claimed by two callers from the same version. start
	// must be quick and free of effects: it runs inside the transaction and may
	// run again if the transaction does.
	//
	// The order is by priority, highest first; then by turn, lowest first; then
	// by id. Turns are numbers of their own in each lane and priority. A record
	// that becomes ready, because it is inserted, becomes due, is queued again
	// after its end, or moves there from another lane or priority, gets
	//
	//   - the least turn that any ready record has there, or 1 if there is none;
	//   - but at least the one after the turn that its owner was given last
	//     there, if a record of that owner with a turn above 0 is ready there.
	//
	// A record that is queued again from working has turn 0, and so goes before
	// all that have not begun, at once or when it becomes due, until it has been
	// claimed. Any other keeps its turn while it is ready and not moved. Turns are
	// given in the order of changes; records that become due get theirs in the
	// order of RunAt, before those of changes made afterwards, if need be a
	// thousand at a time.
	//
	// So owners take turns, whatever each of them has queued. An owner who has
	// nothing ready waits for at most one record of each other owner, beside those
	// that have begun before; and the records of an owner alone are claimed in the
	// order in which they became ready.
	//
	// Nothing is claimed from a lane that is paused: see Pause.
	Claim(ctx context.Context, c Claim, start func(Record) Change) ([]Record, error)

	// Extend moves the deadline of working records to lease from now. It
	// changes neither version nor sequence. A record that has moved on gives
	// [ErrStale] and its present head.
	Extend(ctx context.Context, refs []Ref, lease time.Duration) ([]Result, error)

	// Pause keeps claims away from the lanes named, or from all, until Resume.
	// It holds in every process, whatever becomes of any: a claim that is not over
	// when Pause returns finds nothing there. What was claimed before stays
	// claimed. A lane need not have records, and may be paused already.
	//
	// At most [MaxPaused] lanes can be paused. When there would be more, no lane
	// is paused and the error is [ErrFull].
	Pause(ctx context.Context, p Pause) error

	// Resume ends what Pause began, of just what is named: resuming all leaves
	// those paused that were paused by name, and the other way round. What is not
	// paused may be named too.
	Resume(ctx context.Context, p Pause) error

	// Paused tells what is paused, the lanes in the order of their names.
	Paused(ctx context.Context) (Pause, error)

	// Lanes tells of every lane that has a record ready to be claimed, and of
	// those that are paused too. A queued record past its deadline, which nobody
	// can claim, may be counted until it has been changed.
	Lanes(ctx context.Context) ([]Lane, error)

	// Position counts the ready records of the same lane that would be claimed
	// before the record named, by the order of Claim, and stops counting at limit.
	// Those that become ready afterwards may go before it: of a higher priority, of
	// other owners, or because they had begun before. A record that is not ready
	// has position 0 and ready false. Records past their deadline may
	// be taken for ready, as in Lanes.
	Position(ctx context.Context, id ulid.ULID, limit int) (ahead int, ready bool, err error)

	// Overdue returns heads whose deadline has passed, at most limit of them:
	// queued ones before working ones before ended ones, and in each group the
	// longest overdue first.
	Overdue(ctx context.Context, limit int) ([]Head, error)

	// Upcoming tells when there will next be something to do, so that nobody
	// has to poll in between: ask first, then see to what is due, then sleep.
	Upcoming(ctx context.Context) (Upcoming, error)
}

// Outbox is the part of a [Store] that holds deliveries until they are settled.
type Outbox interface {
	// ClaimDeliveries takes deliveries that are due, hiding them from other
	// claimers until they are settled or the lease has run out. Of one record
	// only the earliest delivery that is pending can be due, so that they are
	// sent in order. What it costs does not grow with how many are pending,
	// claimed by others, or to endpoints that have no room.
	//
	// One that cannot be read any more, or whose body cannot, is settled as
	// [Failed] by the claim that meets it, durably, and returned with that state,
	// without URL and body and for nobody to settle: so that somebody is told, and
	// the next one of its record can be due.
	ClaimDeliveries(ctx context.Context, c DeliveryClaim) ([]Delivery, error)

	// SettleDeliveries records what came of attempts: see [Settlement]. Each
	// one is judged by the Attempt of its own delivery alone, whatever the states
	// of that and of its neighbours: if it is another, nothing is changed and
	// the error is [ErrStale]. It ends the lease of the delivery. When the
	// earliest pending delivery of a record is settled, the next that is pending
	// can be due.
	//
	// A settlement as [Stopped] also settles as Stopped, in the same transaction,
	// every later delivery of the record that is pending; their Attempt and Log
	// stay. A delivery that is inserted later is Stopped from the start, and never
	// due, if the delivery of the record right before it is.
	//
	// A settlement as [Pending] of a delivery that was settled reopens it: the
	// same bytes are to be sent again, at Due. No other delivery is reopened with
	// it; later ones that are pending wait for it, but for one that was claimed
	// already. The settled deliveries of a record that was deleted went with it,
	// and one that is settled after that goes at once: they are [ErrNotFound].
	SettleDeliveries(ctx context.Context, s []Settlement) ([]error, error)

	// Deliveries returns the deliveries of one record in order of sequence,
	// without their bodies. An unknown record has none.
	Deliveries(ctx context.Context, id ulid.ULID) ([]Delivery, error)

	// Backlog counts the deliveries that are pending, due or not, claimed ones and
	// those of deleted records too. What it costs does not grow with their number.
	Backlog(ctx context.Context) (int, error)
}

// Claim says what a worker can take: see [Queue.Claim].
type Claim struct {
	Worker string        // who takes the records; becomes Head.Worker
	Lane   string        // from which lane
	Limit  int           // how many at most; below 1 is 0
	Lease  time.Duration // for how long, by the store's clock
}

// DeliveryClaim says which deliveries a sender can take: see
// [Outbox.ClaimDeliveries].
type DeliveryClaim struct {
	Worker      string         // who sends
	Limit       int            // how many at most
	PerEndpoint int            // how many at most of an endpoint that is not in Room; 0 means Limit, below 0 none
	Room        map[string]int // how many at most of these endpoints; one with 0 or less is passed over
	Bytes       int64          // how many bytes of bodies at most, and always one delivery; 0 or less means no bound
	After       string         // endpoints are taken in turn, beginning after this one
	Lease       time.Duration  // how long they stay hidden from other claimers
}

// Upcoming holds the earliest times at which there is something to do, by the
// store's clock; a zero time means never.
type Upcoming struct {
	Run      time.Time // a queued record becomes due that is not due yet
	Deadline time.Time // a deadline passes
	Delivery time.Time // a delivery becomes due that is not due yet and is the earliest pending one of its record
}

// MaxPaused is how many lanes can be paused by name.
const MaxPaused = 1000

// Pause names what is to be paused or resumed, or is paused. All and each lane are
// independent of each other: a lane is paused while it is named or all are.
type Pause struct {
	All   bool
	Lanes []string // an empty name is that of a lane like any other
}

// Lane summarises the records of one lane that are ready to be claimed.
type Lane struct {
	Name     string
	Kind     string // of the record that is first in claim order; empty if it cannot be read
	Ready    int    // how many are ready
	Priority int32  // the highest priority among them
	Paused   bool   // by its name, or because all lanes are

	// Since is when the longest waiting of them became due: at RunAt, or when it
	// was created. A store need look only at the first 128 of each priority, in
	// claim order. So Since may be later than the longest waiting record's, while
	// that one is behind 128 others of its priority, by as much as it has waited
	// longer than those; it is never earlier.
	Since time.Time
	// Top is Since of those that have the highest priority alone.
	Top time.Time
}
