package store

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states of a delivery.
const (
	Pending    DeliveryState = "pending"    // to be sent, or sent again, at Due
	Delivered  DeliveryState = "delivered"  // settled: the receiver has it
	Failed     DeliveryState = "failed"     // settled: given up
	Superseded DeliveryState = "superseded" // settled without being sent: a later event of the record is sent in its place
	Stopped    DeliveryState = "stopped"    // settled: the receiver wants no more of this record
)

// Delivery is one event on its way to one endpoint. A record has at most one
// for each event.
type Delivery struct {
	ID       ulid.ULID // of the record
	Seq      uint64    // of the event
	Endpoint string    // deliveries with the same endpoint share limits
	URL      string
	State    DeliveryState // an inserted one is pending, or stopped where the one before it is
	Attempt  int           // how many attempts were settled
	Due      time.Time     // not sent before
	Log      []byte        // a few KiB of the caller's own, on past attempts
	Body     []byte        // the exact bytes to send
}

// Settlement is what came of one attempt at a delivery, or what was decided about it
// without one: see [Outbox.SettleDeliveries].
type Settlement struct {
	ID      ulid.ULID
	Seq     uint64
	Attempt int           // Delivery.Attempt as it was claimed: the fence; becomes 1 more
	State   DeliveryState // Pending to send it, or send it again, at Due; or an end
	Due     time.Time     // for Pending
	Log     []byte        // replaces Delivery.Log
}
