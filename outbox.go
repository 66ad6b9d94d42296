package foreman

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// outbox sends the deliveries of the store: those of one job in order, those of
// different jobs at once, within bounds for all and for each endpoint.
type outbox struct {
	f     *Foreman
	alarm alarm

	mu        sync.Mutex
	endpoints endpoints
	proxy     endpoint // the egress proxy, if there is one
	underway  int      // in all
	last      string   // the endpoint that was served last

	outcomes outcomes
	counts   webhookCounts
}

func (o *outbox) init(f *Foreman) {
	o.f = f
	o.alarm.init()
	o.endpoints = endpoints{}
	o.proxy.room = f.o.Webhook.Concurrency
	o.outcomes.init()
	o.counts.init()
}

// wake makes the outbox look for deliveries that a change has caused.
func (o *outbox) wake(caused []store.Delivery) {
	if len(caused) > 0 {
		o.alarm.ring()
	}
}

// run delivers until ctx ends. Attempts that are under way then have a little time to
// end; those that are cut off are made again at the next start.
func (o *outbox) run(ctx context.Context) {
	sendCtx, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	// What was sent is recorded even when ctx has ended meanwhile.
	recordCtx, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		pause(sendCtx, settleGrace)
		cut()
		pause(recordCtx, settleGrace) // senders may wait for a store that does not answer
		giveUp()
	})()
	var sending, settling sync.WaitGroup
	claimed := make(chan *store.Delivery, o.f.o.Webhook.Concurrency)
	for range o.f.o.Webhook.Concurrency {
		sending.Go(func() {
			for d := range claimed {
				o.outcomes.add(o.attempt(sendCtx, d))
			}
		})
	}
	sent := make(chan struct{})
	settling.Go(func() { o.settle(recordCtx, sent) })
	for ctx.Err() == nil {
		next, err := o.send(ctx, claimed)
		if err != nil && ctx.Err() == nil {
			o.f.o.Logger.Error("cannot take deliveries; trying again", "error", err)
			next = o.f.now().Add(time.Second)
		}
		o.alarm.sleep(ctx, o.f.now(), next)
	}
	close(claimed)
	sending.Wait()
	close(sent)
	defer time.AfterFunc(settleGrace, giveUp).Stop()
	settling.Wait()
	o.f.sender.Close()
}

// send claims what is due and has room, has it sent, and returns when to look again if
// nobody rings before.
func (o *outbox) send(ctx context.Context, claimed chan<- *store.Delivery) (next time.Time, err error) {
	for asked := false; ctx.Err() == nil; {
		claim, more := o.room()
		if claim.Limit <= 0 {
			return more, nil // the end of an attempt will ring
		}
		ds, err := o.f.o.Store.ClaimDeliveries(ctx, claim)
		if err != nil {
			return next, fmt.Errorf("claim deliveries: %w", err)
		}
		got := len(ds)
		ds = slices.DeleteFunc(ds, o.unreadable)
		o.take(ds)
		o.outcomes.expect(len(ds))
		for i := range ds {
			claimed <- &ds[i] // there is room for as many as can be under way
		}
		if got > 0 {
			asked = false
			continue
		}
		if asked {
			return earlier(next, more), nil
		}
		// There seems to be nothing: ask when there will be, and look once more for what
		// has come in between.
		up, err := o.f.o.Store.Upcoming(ctx)
		if err != nil {
			return next, fmt.Errorf("upcoming: %w", err)
		}
		next, asked = up.Delivery, true
	}
	return next, nil
}

// room says what can be claimed now, and when there will be more room at the latest.
//
// Endpoints that have not accepted anything yet, or have failed since, share half of the
// places: however many of them hang, the others have the rest.
func (o *outbox) room() (store.DeliveryClaim, time.Time) {
	w := &o.f.o.Webhook
	now := o.f.now()
	idle := now.Add(o.f.o.Lease / 2) // other processes do not wake this one
	o.mu.Lock()
	defer o.mu.Unlock()
	rooms, unproven, next := o.endpoints.rooms(now, w.PerEndpoint)
	c := store.DeliveryClaim{
		Worker: o.f.runs.worker, Limit: w.Concurrency - o.underway,
		PerEndpoint: min(firstRoom, w.PerEndpoint), Room: rooms, After: o.last,
		Bytes: maxClaimed, Lease: 2*w.Timeout + time.Minute, // an attempt, and its settlement
	}
	if left := max(w.Concurrency/2, 1) - unproven; left > 0 {
		c.Limit = min(c.Limit, left)
	} else {
		c.PerEndpoint = -1
		o.endpoints.provenOnly(rooms)
	}
	if w.Proxy != nil {
		c.Limit = min(c.Limit, o.proxy.free(now, w.Concurrency))
		if o.proxy.until.After(now) {
			next = earlier(next, o.proxy.until)
		}
	}
	return c, earlier(next, idle)
}

// unreadable reports whether a delivery cannot be sent, since the store has found that
// it cannot be read any more and has failed it.
func (o *outbox) unreadable(d store.Delivery) bool {
	if d.State == store.Pending {
		return false
	}
	o.f.o.Logger.Error("a webhook cannot be read and has failed", "job", d.ID, "sequence", d.Seq, "endpoint", d.Endpoint)
	return true
}

func (o *outbox) take(ds []store.Delivery) {
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ds {
		o.endpoints.get(ds[i].Endpoint, now).underway++
		o.proxy.underway++
		o.underway++
		o.last = ds[i].Endpoint
	}
}

// load is how much is under way, and how many endpoints are left alone.
func (o *outbox) load() (underway, failing int) {
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.endpoints {
		if e.until.After(now) {
			failing++
		}
	}
	return o.underway, failing
}

// attempt sends a delivery once, or finds that it need not be sent, and gives up its
// place. It says what came of it.
func (o *outbox) attempt(ctx context.Context, d *store.Delivery) store.Settlement {
	log := decodeDeliveryLog(d.Log)
	if o.superseded(ctx, d, &log) {
		o.release(d, time.Time{}, nil)
		return store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Superseded, Log: d.Log}
	}
	begun := o.f.now()
	out := o.f.sender.Send(ctx, webhook.Message{URL: d.URL, ID: deliveryID(d.ID, d.Seq), Body: d.Body, Attempt: d.Attempt + 1})
	if ctx.Err() != nil && out.Result != webhook.Delivered {
		// Cut off by the end of Run: it was no attempt, and is made at the next start.
		o.release(d, begun, nil)
		return store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Pending, Due: begun, Log: d.Log}
	}
	o.release(d, begun, &out)
	return o.conclude(d, &log, begun, &out)
}

// release gives up the place of an attempt that began then, and keeps in mind what it
// tells of its endpoint; nil if nothing was sent.
func (o *outbox) release(d *store.Delivery, begun time.Time, out *webhook.Outcome) {
	w := &o.f.o.Webhook
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.endpoints.get(d.Endpoint, now)
	o.underway--
	o.proxy.underway--
	e.underway--
	if e.underway <= e.room/2 {
		o.alarm.ring() // for more, while the other half is at work
	}
	if out == nil {
		return
	}
	if out.Fault == webhook.FaultProxy {
		if o.proxy.failed(begun, now, &w.Breaker) {
			o.f.o.Logger.Error("the egress proxy of webhooks keeps failing; all of them wait", "failures", o.proxy.failures, "until", o.proxy.until, "error", out.Err)
		}
		return
	}
	if w.Proxy != nil && out.Phase != "" && o.proxy.succeeded(w.Concurrency) {
		o.f.o.Logger.Info("the egress proxy of webhooks is back")
	}
	back := false
	switch {
	case out.Result == webhook.Delivered:
		back = e.succeeded(w.PerEndpoint)
	case out.Fault != webhook.FaultReceiver:
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

// maxClaimed bounds the bytes of bodies that are claimed at a time.
const maxClaimed = 32 << 20

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

// settle records what came of attempts, many at a time, and makes sure that the next
// one of a job is looked for, until everything is sent and recorded.
func (o *outbox) settle(ctx context.Context, sent <-chan struct{}) {
	var spare []store.Settlement
	for {
		batch := o.outcomes.take(spare, sent)
		if len(batch) == 0 {
			return
		}
		if spare = batch; !o.record(ctx, batch) {
			spare = nil // it may still be on its way
		}
		o.alarm.ring()
	}
}

// record tries for a while to store outcomes. What it cannot store is sent again when
// the lease has run out. It reports whether it has stored them.
func (o *outbox) record(ctx context.Context, batch []store.Settlement) bool {
	for delay := 50 * time.Millisecond; ; delay *= 2 {
		errs, err := o.f.o.Store.SettleDeliveries(ctx, batch)
		if err == nil {
			o.counts.settled(batch, errs) // a stale one was settled by another
			return true
		}
		if delay > time.Second || ctx.Err() != nil {
			o.f.o.Logger.Error("outcomes of webhooks cannot be stored; they are sent again", "deliveries", len(batch), "error", err)
			return false
		}
		pause(ctx, delay)
	}
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
