package foreman

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
)

// outbox sends the deliveries of the store: those of one job in order, those of
// different jobs at once, within bounds for all and for each endpoint.
type outbox struct {
	f     *Foreman
	alarm alarm

	mu        sync.Mutex
	endpoints endpoints
	proxy     endpoint                      // the egress proxy, if there is one; how much is under way does not count
	probe     *store.Delivery               // that is to show whether the proxy is back
	taken     map[*store.Delivery]time.Time // when what is under way was claimed
	underway  int                           // in all
	bytes     int64                         // of the bodies of these
	last      string                        // the endpoint that was served last

	outcomes outcomes
	counts   webhookCounts
}

func (o *outbox) init(f *Foreman) {
	o.f = f
	o.alarm.init()
	o.endpoints = endpoints{}
	o.taken = map[*store.Delivery]time.Time{}
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

// settleLease is how long what came of an attempt may take to be recorded before another
// process takes the delivery for one of a process that has died, and sends it again.
const settleLease = 15 * time.Second

// maxUnderway bounds the bytes of the bodies that are under way, but for one delivery.
const maxUnderway = 64 << 20

// room says what can be claimed now, and when there will be more room at the latest.
//
// Endpoints that have not accepted anything yet, have failed since, or keep silent share
// half of the places, and of the bytes: what they take as such, the others are not kept
// from.
func (o *outbox) room() (store.DeliveryClaim, time.Time) {
	w := &o.f.o.Webhook
	now := o.f.now()
	idle := now.Add(o.f.o.Lease / 2) // other processes do not wake this one
	o.mu.Lock()
	defer o.mu.Unlock()
	rooms, silent, silentBytes, next := o.endpoints.rooms(now, w.PerEndpoint)
	c := store.DeliveryClaim{
		Worker: o.f.runs.worker, Limit: w.Concurrency - o.underway,
		PerEndpoint: min(firstRoom, w.PerEndpoint), Room: rooms, After: o.last,
		Bytes: maxUnderway - o.bytes, Lease: 2*w.Timeout + settleLease, // an attempt, and its settlement
	}
	left, leftBytes := max(w.Concurrency/2, 1)-silent, maxUnderway/2-silentBytes
	if left > 0 && leftBytes > 0 {
		c.Limit, c.Bytes = min(c.Limit, left), min(c.Bytes, leftBytes)
	} else {
		c.PerEndpoint = -1
		o.endpoints.answeringOnly(rooms, now)
	}
	switch {
	case c.Bytes <= 0, o.probe != nil, o.proxy.until.After(now):
		c.Limit = 0
	case !o.proxy.until.IsZero():
		c.Limit = min(c.Limit, 1) // to see whether the proxy is back
	}
	if o.proxy.until.After(now) {
		next = earlier(next, o.proxy.until)
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
	o.counts.settled([]store.Settlement{{State: d.State}}, []error{nil})
	return true
}

func (o *outbox) take(ds []store.Delivery) {
	now := o.f.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ds {
		o.taken[&ds[i]] = now
		o.endpoints.get(ds[i].Endpoint, now).began(now, int64(len(ds[i].Body)))
		o.underway++
		o.bytes += int64(len(ds[i].Body))
		o.last = ds[i].Endpoint
		if !o.proxy.until.IsZero() {
			o.probe = &ds[i]
		}
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

// record tries to store outcomes for as long as their leases last. What it cannot store
// is sent again when these have run out. It reports whether it has stored them.
func (o *outbox) record(ctx context.Context, batch []store.Settlement) bool {
	waited := time.Duration(0)
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		errs, err := o.f.o.Store.SettleDeliveries(ctx, batch)
		if err == nil {
			o.counts.settled(batch, errs) // a stale one was settled by another
			return true
		}
		if waited > settleLease || ctx.Err() != nil {
			o.f.o.Logger.Error("outcomes of webhooks cannot be stored; they are sent again", "deliveries", len(batch), "error", err)
			return false
		}
		pause(ctx, delay)
		waited += delay
	}
}
