package foreman

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"slices"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// attempt sends a delivery once, or finds that it need not be sent, and gives up its
// place. It says what came of it.
func (o *outbox) attempt(ctx context.Context, d *store.Delivery) store.Settlement {
	log := decodeDeliveryLog(d.Log)
	if o.superseded(ctx, d, &log) {
		o.release(d, nil)
		return store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Superseded, Log: d.Log}
	}
	begun := o.f.now()
	out := o.f.sender.Send(o.noticing(ctx, d), webhook.Message{URL: d.URL, ID: deliveryID(d.ID, d.Seq), Body: d.Body, Attempt: d.Attempt + 1})
	if ctx.Err() != nil && out.Result != webhook.Delivered {
		// Cut off by the end of Run: it was no attempt, and is made at the next start.
		o.release(d, nil)
		return store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Pending, Due: begun, Log: d.Log}
	}
	o.release(d, &out)
	return o.conclude(d, &log, begun, &out)
}

// noticing is the context of an attempt. If that is to show whether the proxy is back, a
// connection does so: the others need not wait until the receiver has answered too.
func (o *outbox) noticing(ctx context.Context, d *store.Delivery) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.probe != d {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: func(_, _ string, err error) {
		if err != nil {
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.probe == d {
			o.probe = nil
			if o.proxy.answered(o.taken[d]) {
				o.f.o.Logger.Info("the egress proxy of webhooks is back")
			}
			o.alarm.ring()
		}
	}})
}

// causeOf is what the log is told of an error beyond what anybody may be.
func causeOf(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	return err
}

// release gives up the place of an attempt, and keeps in mind what it tells of its
// endpoint, as it was when the delivery was claimed; nil if nothing was sent.
func (o *outbox) release(d *store.Delivery, out *webhook.Outcome) {
	w := &o.f.o.Webhook
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	begun := o.taken[d]
	delete(o.taken, d)
	e := o.endpoints.get(d.Endpoint, now)
	o.underway--
	o.bytes -= int64(len(d.Body))
	e.ended(now, int64(len(d.Body)))
	if o.probe == d {
		o.probe = nil
	}
	if e.underway <= e.room/2 {
		o.alarm.ring() // for more, while the other half is at work
	}
	if out == nil {
		return
	}
	if errors.Is(out.Err, webhook.ErrProxyUnreachable) {
		if o.proxy.failed(begun, now, &w.Breaker) {
			o.f.o.Logger.Error("the egress proxy of webhooks cannot be reached; all of them wait", "failures", o.proxy.failures, "until", o.proxy.until, "error", out.Err, "cause", causeOf(out.Err))
		}
		return
	}
	if out.Phase != "" && o.proxy.answered(begun) {
		o.f.o.Logger.Info("the egress proxy of webhooks is back")
	}
	back := false
	switch {
	case out.Result == webhook.Delivered:
		back = e.succeeded(begun, w.PerEndpoint)
	case out.Fault != webhook.FaultReceiver && out.Fault != webhook.FaultProxy:
	case !tellsOfTheEndpoint(out.Status):
		back = e.answered(begun)
	case e.failed(begun, now, &w.Breaker):
		o.f.o.Logger.Warn("a webhook endpoint keeps failing; what is for it waits", "endpoint", d.Endpoint,
			"failures", e.failures, "since", e.since, "until", e.until, "error", out.Err)
	}
	if back {
		o.f.o.Logger.Info("a webhook endpoint is back", "endpoint", d.Endpoint)
	}
}

// tellsOfTheEndpoint reports whether a status is one of a receiver that is out of
// order, and not one of a request that it does not like.
func tellsOfTheEndpoint(status int) bool {
	return status == 0 || status >= 500 || status == 429 || status == 408
}

// conclude makes what came of an attempt the settlement of its delivery.
func (o *outbox) conclude(d *store.Delivery, log *deliveryLog, begun time.Time, out *webhook.Outcome) store.Settlement {
	s := store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt}
	log.add(begun, out)
	switch out.Result {
	case webhook.Delivered:
		s.State = store.Delivered
	case webhook.Stop:
		s.State = store.Stopped
	case webhook.GiveUp:
		s.State = store.Failed
	default:
		s.State, s.Due = o.again(d, log, begun, out)
	}
	if s.State == store.Failed || s.State == store.Stopped {
		o.f.o.Logger.Warn("a webhook is given up", "job", d.ID, "sequence", d.Seq, "endpoint", d.Endpoint, "attempts", len(log.Attempts), "error", out.Err)
	}
	s.Log = log.encode()
	if s.State == store.Delivered && !log.Redelivered {
		o.counts.delivered(begun.Add(out.Duration).Sub(eventTime(d)))
	}
	o.counts.attempted(out)
	return s
}

const (
	// While our own proxy is at fault, attempts do not count, for so long at most after
	// the event, and are made this often.
	proxyPatience = 72 * time.Hour
	proxyPause    = 30 * time.Second
)

// again says whether and when there is another attempt.
func (o *outbox) again(d *store.Delivery, log *deliveryLog, begun time.Time, out *webhook.Outcome) (store.DeliveryState, time.Time) {
	if out.Fault == webhook.FaultProxy && begun.Sub(eventTime(d)) < proxyPatience {
		return store.Pending, o.f.now().Add(max(jitter(proxyPause), out.RetryAfter))
	}
	log.Tries++
	delay, more := o.f.o.Webhook.Schedule.Next(log.Tries, out.RetryAfter, nil)
	if !more {
		return store.Failed, time.Time{}
	}
	return store.Pending, o.f.now().Add(delay)
}

// overdueAfter is when an event that was never tried is overdue.
const overdueAfter = time.Minute

// superseded reports whether a delivery is passed over for a later one of its job:
// it is overdue, the operator wants to catch up with the latest, and the state it
// tells of is neither an end nor one that somebody asked for by hand.
func (o *outbox) superseded(ctx context.Context, d *store.Delivery, log *deliveryLog) bool {
	if o.f.o.Webhook.CatchUp != CatchUpLatest || log.Redelivered ||
		log.Tries == 0 && o.f.now().Sub(eventTime(d)) < overdueAfter || toldBy(d.Body).State.Terminal() {
		return false
	}
	all, err := o.f.o.Store.Deliveries(ctx, d.ID)
	return err == nil && slices.ContainsFunc(all, func(l store.Delivery) bool {
		return l.Seq > d.Seq && l.State == store.Pending
	})
}
