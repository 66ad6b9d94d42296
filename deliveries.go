package foreman

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// DeliveryStatus is what became of a delivery so far.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryPending    DeliveryStatus = "pending"    // to be sent, or sent again
	DeliveryDelivered  DeliveryStatus = "delivered"  // the receiver has accepted it
	DeliveryFailed     DeliveryStatus = "failed"     // given up after the last attempt
	DeliverySuperseded DeliveryStatus = "superseded" // not sent: a later event of the job was, see [CatchUpLatest]
	DeliveryStopped    DeliveryStatus = "stopped"    // not sent any more: the receiver has answered 410
)

// Delivery is one event of a job on its way to its webhook.
type Delivery struct {
	// ID is the webhook-id that the receiver sees, the same on every attempt.
	ID string
	// Sequence is that of the event, and State the one that it tells of.
	Sequence uint64
	State    State
	// CreatedAt is when the event happened.
	CreatedAt time.Time
	URL       string
	Status    DeliveryStatus
	// NextAttemptAt is when it is due to be sent, while it is pending. It is sent later
	// if it has to wait: see WaitingFor.
	NextAttemptAt time.Time
	// WaitingFor is what keeps a pending delivery from being sent now, as far as this
	// process knows: "earlier" deliveries of the job, its "retry", its "endpoint" or the
	// "proxy", which kept failing and is left alone; "" for nothing.
	WaitingFor string
	// Attempts are the latest 20 that were made.
	Attempts []DeliveryAttempt
}

// DeliveryAttempt is what came of sending a delivery once.
type DeliveryAttempt struct {
	At       time.Time
	Duration time.Duration
	// Phase is how far it came, and Address what it was connected to then, if it
	// came so far: the receiver or the egress proxy.
	Phase   webhook.Phase
	Address netip.AddrPort
	// HTTPStatus is that of the answer; 0 without one.
	HTTPStatus int
	// Fault is who has to see to an attempt that failed, and Error what went wrong;
	// both are empty if it delivered.
	Fault webhook.Fault
	Error string
	// Response is how the body of an answer that was no success begins, at most 256
	// bytes. It is for nobody but whose job it is.
	Response string
}

// deliveryID is the webhook-id of a delivery: the same for every attempt at it, and for
// no other one.
func deliveryID(id ulid.ULID, seq uint64) string {
	return id.String() + "-" + strconv.FormatUint(seq, 10)
}

// Deliveries returns the deliveries of a job, in the order of their events: one for each
// event that its webhook is to hear of. Errors as for [Foreman.Status].
func (f *Foreman) Deliveries(ctx context.Context, id ulid.ULID) ([]Delivery, error) {
	if _, err := f.o.Store.Get(ctx, id); err != nil {
		return nil, fmt.Errorf("job %s: %w", id, fromStore(err))
	}
	return f.deliveries(ctx, id)
}

func (f *Foreman) deliveries(ctx context.Context, id ulid.ULID) ([]Delivery, error) {
	kept, err := f.o.Store.Deliveries(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("job %s: deliveries: %w", id, fromStore(err))
	}
	if len(kept) == 0 {
		return nil, nil
	}
	events, err := f.events(ctx, id, kept[0].Seq-1, int(kept[len(kept)-1].Seq-kept[0].Seq+1))
	if err != nil {
		return nil, err
	}
	out := make([]Delivery, 0, len(kept))
	pending := false // there is one before
	for i := range kept {
		k := &kept[i]
		d := asDelivery(k)
		if e, ok := events[k.Seq]; ok {
			d.State, d.CreatedAt = e.State, e.Timestamp
		}
		if k.State == store.Pending {
			d.WaitingFor = f.outbox.waitingFor(k, pending)
			pending = true
		}
		out = append(out, d)
	}
	return out, nil
}

// events reads events of a job by their sequence.
func (f *Foreman) events(ctx context.Context, id ulid.ULID, after uint64, limit int) (map[uint64]Event, error) {
	kept, err := f.o.Store.Events(ctx, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("job %s: events: %w", id, fromStore(err))
	}
	out := make(map[uint64]Event, len(kept))
	for i := range kept {
		e, err := decodeEvent(kept[i])
		if err != nil {
			return nil, fmt.Errorf("job %s: events: %w", id, fromStore(err))
		}
		out[e.Sequence] = e
	}
	return out, nil
}

func asDelivery(k *store.Delivery) Delivery {
	d := Delivery{ID: deliveryID(k.ID, k.Seq), Sequence: k.Seq, URL: k.URL, Status: DeliveryStatus(k.State)}
	if k.State == store.Pending {
		d.NextAttemptAt = k.Due
	}
	log := decodeDeliveryLog(k.Log)
	for i := range log.Attempts {
		d.Attempts = append(d.Attempts, log.Attempts[i].attempt())
	}
	return d
}

func (t keptTry) attempt() DeliveryAttempt {
	return DeliveryAttempt{
		At: t.At, Duration: t.Duration, Phase: t.Phase, Address: t.Address, HTTPStatus: t.Status,
		Fault: t.Fault, Error: t.Error, Response: t.Response,
	}
}

// waitingFor says why a pending delivery is not sent now.
func (o *outbox) waitingFor(d *store.Delivery, behind bool) string {
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.endpoints[d.Endpoint]
	switch {
	case behind:
		return "earlier"
	case e != nil && e.until.After(now):
		return "endpoint"
	case o.proxy.until.After(now):
		return "proxy"
	case d.Due.After(now):
		return "retry"
	}
	return ""
}

// Redeliver sends an event of a job again, with the same webhook-id and the same bytes,
// in a new round of attempts that begins at once: after a receiver has lost it, or is
// back after the last attempt. Deliveries of the job that are pending wait for it. It
// returns the delivery as it is then.
//
// Errors: [ErrNotFound] if there is no such job or it has no delivery of that sequence,
// [ErrState] if that is pending already, [ErrUnavailable] and the context's.
func (f *Foreman) Redeliver(ctx context.Context, id ulid.ULID, sequence uint64) (*Delivery, error) {
	for {
		d, err := f.delivery(ctx, id, sequence)
		if err != nil {
			return nil, err
		}
		if d.State == store.Pending {
			return nil, fmt.Errorf("%w: delivery %s is pending already, and due at %s", ErrState, deliveryID(id, sequence), d.Due.Format(time.RFC3339))
		}
		log := decodeDeliveryLog(d.Log)
		log.Tries, log.Redelivered = 0, true
		errs, err := f.o.Store.SettleDeliveries(ctx, []store.Settlement{{
			ID: id, Seq: sequence, Attempt: d.Attempt, State: store.Pending, Due: f.now(), Log: log.encode(),
		}})
		if err == nil {
			err = errs[0]
		}
		if errors.Is(err, store.ErrStale) {
			continue // it was settled since: look again
		}
		if err != nil {
			return nil, fmt.Errorf("redeliver %s: %w", deliveryID(id, sequence), fromStore(err))
		}
		f.outbox.alarm.ring()
		all, err := f.deliveries(ctx, id)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(d Delivery) bool { return d.Sequence == sequence })
		if i < 0 {
			return nil, fmt.Errorf("%w: job %s has been removed", ErrNotFound, id)
		}
		return &all[i], nil
	}
}

// delivery reads one delivery of a job that there is.
func (f *Foreman) delivery(ctx context.Context, id ulid.ULID, sequence uint64) (*store.Delivery, error) {
	if _, err := f.o.Store.Get(ctx, id); err != nil {
		return nil, fmt.Errorf("job %s: %w", id, fromStore(err))
	}
	all, err := f.o.Store.Deliveries(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("job %s: deliveries: %w", id, fromStore(err))
	}
	if i := slices.IndexFunc(all, func(d store.Delivery) bool { return d.Seq == sequence }); i >= 0 {
		return &all[i], nil
	}
	return nil, fmt.Errorf("%w: job %s has no delivery %s", ErrNotFound, id, deliveryID(id, sequence))
}
