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
	underway  int    // in all
	last      string // the endpoint that was served last

	counts webhookCounts
}

func (o *outbox) init(f *Foreman) {
	o.f = f
	o.alarm.init()
	o.endpoints = endpoints{}
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
	defer context.AfterFunc(ctx, func() { pause(sendCtx, settleGrace); cut() })()
	var sending, settling sync.WaitGroup
	claimed := make(chan *store.Delivery, o.f.o.Webhook.Concurrency)
	outcomes := make(chan store.Settlement, unsettled)
	for range o.f.o.Webhook.Concurrency {
		sending.Go(func() {
			for d := range claimed {
				outcomes <- o.attempt(sendCtx, d)
			}
		})
	}
	// What was sent is recorded even when ctx has ended meanwhile.
	settling.Go(func() { o.settle(context.WithoutCancel(ctx), outcomes) })
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
	close(outcomes)
	settling.Wait()
}

// send claims what is due and has room, has it sent, and returns when to look again if
// nobody rings before.
func (o *outbox) send(ctx context.Context, claimed chan<- *store.Delivery) (next time.Time, err error) {
	for asked := false; ; {
		claim, more := o.room()
		if claim.Limit == 0 {
			return more, nil // the end of an attempt will ring
		}
		ds, err := o.f.o.Store.ClaimDeliveries(ctx, claim)
		if err != nil {
			return next, fmt.Errorf("claim deliveries: %w", err)
		}
		o.take(ds)
		for i := range ds {
			claimed <- &ds[i] // there is room for as many as can be under way
		}
		if len(ds) > 0 {
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
}

// room says what can be claimed now, and when there will be more room at the latest.
func (o *outbox) room() (store.DeliveryClaim, time.Time) {
	w := &o.f.o.Webhook
	now := o.f.now()
	idle := now.Add(o.f.o.Lease / 2) // other processes do not wake this one
	o.mu.Lock()
	defer o.mu.Unlock()
	rooms, next := o.endpoints.rooms(now, w.PerEndpoint)
	return store.DeliveryClaim{
		Worker: o.f.runs.worker, Limit: w.Concurrency - o.underway,
		PerEndpoint: min(firstRoom, w.PerEndpoint), Room: rooms, After: o.last,
		Lease: 2*w.Timeout + time.Minute, // an attempt, and its settlement
	}, earlier(next, idle)
}

func (o *outbox) take(ds []store.Delivery) {
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ds {
		o.endpoints.get(ds[i].Endpoint, now).underway++
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
		o.release(d, nil)
		o.counts.settled(store.Superseded)
		return store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Superseded, Log: d.Log}
	}
	begun := o.f.now()
	out := o.f.sender.Send(ctx, webhook.Message{URL: d.URL, ID: deliveryID(d.ID, d.Seq), Body: d.Body, Attempt: d.Attempt + 1})
	if ctx.Err() != nil && out.Result != webhook.Delivered {
		// Cut off by the end of Run: it was no attempt, and is made at the next start.
		o.release(d, nil)
		return store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Pending, Due: begun, Log: d.Log}
	}
	o.release(d, &out)
	return o.conclude(d, &log, begun, &out)
}

// release gives up the place of an attempt, and keeps in mind what it tells of its
// endpoint; nil if nothing was sent.
func (o *outbox) release(d *store.Delivery, out *webhook.Outcome) {
	w := &o.f.o.Webhook
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.endpoints.get(d.Endpoint, now)
	o.underway--
	e.underway--
	if e.underway == e.room/2 || o.underway == w.Concurrency/2 {
		o.alarm.ring() // for more, while the other half is at work
	}
	switch {
	case out == nil || out.Fault != "" && out.Fault != webhook.FaultReceiver:
	case out.Result == webhook.Delivered:
		if e.succeeded(w.PerEndpoint) {
			o.f.o.Logger.Info("a webhook endpoint is back", "endpoint", d.Endpoint)
		}
	case tellsOfTheEndpoint(out.Status):
		if e.failed(now, &w.Breaker) {
			o.f.o.Logger.Warn("a webhook endpoint keeps failing; what is for it waits", "endpoint", d.Endpoint,
				"failures", e.failures, "since", e.since, "until", e.until, "error", out.Err)
		}
	default:
		e.answered()
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
		o.f.o.Logger.Warn("a webhook is given up", "job", d.ID, "sequence", d.Seq, "endpoint", d.Endpoint, "attempts", log.Tries, "error", out.Err)
	}
	s.Log = log.encode()
	if s.State == store.Delivered && !log.Redelivered {
		o.counts.delivered(begun.Add(out.Duration).Sub(eventTime(d)))
	}
	o.counts.attempted(out)
	o.counts.settled(s.State)
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

// gatherFor is how long an outcome waits to be recorded with others, while there are
// attempts that they may come of.
const gatherFor = 5 * time.Millisecond

// settle records what came of attempts, many at a time, and makes sure that the next
// one of a job is looked for.
func (o *outbox) settle(ctx context.Context, outcomes <-chan store.Settlement) {
	full := time.NewTimer(gatherFor)
	defer full.Stop()
	for s := range outcomes {
		batch := []store.Settlement{s}
		full.Reset(gatherFor)
	gather:
		for len(batch) < settleBatch && (len(outcomes) > 0 || o.busy()) {
			select {
			case s, ok := <-outcomes:
				if !ok {
					break gather
				}
				batch = append(batch, s)
			case <-full.C:
				break gather
			}
		}
		o.record(ctx, batch)
		o.alarm.ring()
	}
}

// busy reports whether attempts are under way.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.underway > 0
}

// record tries for a while to store outcomes. What it cannot store is sent again when
// the lease has run out.
func (o *outbox) record(ctx context.Context, batch []store.Settlement) {
	for delay := 50 * time.Millisecond; ; delay *= 2 {
		_, err := o.f.o.Store.SettleDeliveries(ctx, batch) // a stale one was settled by another
		if err == nil {
			return
		}
		if delay > time.Second {
			o.f.o.Logger.Error("outcomes of webhooks cannot be stored; they are sent again", "deliveries", len(batch), "error", err)
			return
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
		d.Attempt == 0 && o.f.now().Sub(d.Due) < overdueAfter || toldBy(d.Body).State.Terminal() {
		return false
	}
	all, err := o.f.o.Store.Deliveries(ctx, d.ID)
	return err == nil && slices.ContainsFunc(all, func(l store.Delivery) bool {
		return l.Seq > d.Seq && l.State == store.Pending
	})
}
