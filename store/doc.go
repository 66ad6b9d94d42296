// Package store is the contract between Foreman and the place where its jobs
// are kept. It is a leaf: it knows a queue of records, not jobs, so that the
// root package can default to one implementation (package store/bolt) while
// any other serves the same jobs.
//
// A record has three parts. The [Head] is small, changes, and may be indexed.
// The spec is a blob written once, at [Store.Insert]. The outcome is a blob
// written when the record ends, apart from the head, so that a change of state
// never rewrites it. The store looks inside neither blob.
//
// Package store/storetest holds the suite that every implementation must pass.
//
// # Rules
//
//  1. A change, and the events and deliveries it causes, are one transaction.
//  2. Every change names the [Head.Version] it was made from. If the record has
//     moved on, nothing is changed and the result says [ErrStale].
//  3. A lease that ran out can be taken by exactly one claimer: whoever first
//     changes the record from the version it saw.
//  4. The events of a record are numbered from 1 without gaps, and a delivery
//     keeps the exact bytes to send.
//  5. Records are claimed within a lane by priority, then in fair turns between
//     their owners, then by age: see [Queue.Claim]. What a claim costs grows
//     neither with the depth of the queue nor with the number of owners.
//  6. What is not known is [ErrNotFound]; what is full is [ErrFull]; what is
//     broken is an error. Nothing is ever dropped silently.
//
// # Calls
//
// Every method is safe for concurrent use, atomic for each item it is given,
// and durable when it returns without an error: what it reported survives the
// loss of the process and of power. A batch is there for speed alone: one item
// of it may fail while its neighbours succeed, and the per-item [Result] says
// which. The error beside the results is for the store as a whole, and means
// that nothing is known of any item.
//
// A call whose context ends returns the context's error; a write that was
// already on its way may still happen, and so may one that ends with
// [ErrUnavailable], which is for stores that need a server. Blobs given to a store must not be
// modified afterwards; blobs it returns belong to the caller.
//
// # Time
//
// Leases are durations, measured by the store's own clock, so that the clock
// of a worker cannot lengthen its own lease. Other times are given by the
// caller and compared with the store's clock.
//
// A store that only one process can have open ends every lease, of records and of
// deliveries, when it is opened: whoever held it is gone. In any other store leases
// last until they run out.
package store
