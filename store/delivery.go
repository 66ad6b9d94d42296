package store

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states of a delivery.
const (
	Pending   DeliveryState = "pending"   // to be sent, or sent again, at Due
	Delivered DeliveryState = "delivered" // settled: the receiver has it
	Failed    DeliveryState = "failed"    // settled: given up
)

// Delivery is one event on its way to one endpoint. A record has at most one
// for each event.
type Delivery struct {
	ID       ulid.ULID // of the record
	Seq      uint64    // of the event
	Endpoint string    // deliveries with the same endpoint share limits
	URL      string
	State    DeliveryState // an inserted one is pending
	Attempt  int           // how many attempts were settled
	Due      time.Time     // not sent before
	Log      []byte        // a few KiB of the caller's own, on past attempts
	Body     []byte        // the exact bytes to send
}

// Settlement is what came of one attempt at a delivery.
type Settlement struct {
	ID      ulid.ULID
	Seq     uint64
	Attempt int           // Delivery.Attempt as it was claimed: the fence; becomes 1 more
	State   DeliveryState // Pending to try again at Due, or an end
	Due     time.Time     // for Pending
	Log     []byte        // replaces Delivery.Log
}
