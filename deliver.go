package foreman

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

const skipPause = 100 * time.Millisecond

// deliveryAttempt is what is kept of one attempt at a delivery.
type deliveryAttempt struct {
	At       time.Time     `json:"at"`
	Status   int           `json:"status,omitempty"` // of HTTP; 0 without an answer
	Duration time.Duration `json:"duration_ns"`
	Error    string        `json:"error,omitempty"`
}

// outbox sends the deliveries of the store: those of one job in order, those of
// different jobs at once, within bounds for all and for each endpoint.
type outbox struct {
	f     *Foreman
	alarm alarm

	mu       sync.Mutex
	underway map[string]int // by endpoint: claimed and not settled
	total    int
	last     string // the endpoint that was served last
}

func (o *outbox) init(f *Foreman) {
	o.f = f
	o.alarm.init()
	o.underway = map[string]int{}
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
	outcomes := make(chan store.Settlement, o.f.o.Webhook.Concurrency)
	// What was sent is recorded even when ctx has ended meanwhile.
	settling.Go(func() { o.settle(context.WithoutCancel(ctx), outcomes) })
	for ctx.Err() == nil {
		next, err := o.send(ctx, sendCtx, &sending, outcomes)
		if err != nil && ctx.Err() == nil {
			o.f.o.Logger.Error("cannot take deliveries; trying again", "error", err)
			next = o.f.now().Add(time.Second)
		}
		o.alarm.sleep(ctx, o.f.now(), next)
	}
	sending.Wait()
	close(outcomes)
	settling.Wait()
}

// send claims what is due and has room, sends it in the background, and returns when
// to look again if nobody rings before.
func (o *outbox) send(ctx, sendCtx context.Context, sending *sync.WaitGroup, outcomes chan<- store.Settlement) (next time.Time, err error) {
	wo := &o.f.o.Webhook
	idle := o.f.now().Add(o.f.o.Lease / 2) // other processes do not wake this one
	for {
		// Half of an endpoint's places are claimed at a time, and only while half
		// are free, so that no more than all are ever taken.
		half := max(wo.PerEndpoint/2, 1)
		claim := store.DeliveryClaim{
			Worker: o.f.runs.worker, PerEndpoint: half,
			Lease: 2*wo.Timeout + time.Minute, // an attempt, and its settlement
		}
		o.mu.Lock()
		claim.Limit, claim.After = wo.Concurrency-o.total, o.last
		for endpoint, n := range o.underway {
			if n+half > wo.PerEndpoint {
				if claim.Room == nil {
					claim.Room = map[string]int{}
				}
				claim.Room[endpoint] = 0
			}
		}
		o.mu.Unlock()
		if claim.Limit == 0 {
			return idle, nil // a settlement will ring
		}
		up, err := o.f.o.Store.Upcoming(ctx)
		if err != nil {
			return next, fmt.Errorf("upcoming: %w", err)
		}
		ds, err := o.f.o.Store.ClaimDeliveries(ctx, claim)
		if err != nil {
			return next, fmt.Errorf("claim deliveries: %w", err)
		}
		o.take(ds)
		for i := range ds {
			sending.Go(func() { outcomes <- o.attempt(sendCtx, &ds[i]) })
		}
		if len(ds) > 0 {
			continue
		}
		if len(claim.Room) > 0 && !up.Delivery.After(o.f.now()) {
			// What is due has no room, and hides what will be due: look again soon.
			return o.f.now().Add(skipPause), nil
		}
		return earlier(up.Delivery, idle), nil
	}
}

func (o *outbox) take(ds []store.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ds {
		o.underway[ds[i].Endpoint]++
		o.total++
		o.last = ds[i].Endpoint
	}
}

func (o *outbox) release(endpoint string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total--
	if o.underway[endpoint]--; o.underway[endpoint] == 0 {
		delete(o.underway, endpoint)
	}
}

// attempt sends a delivery once and says what came of it.
func (o *outbox) attempt(ctx context.Context, d *store.Delivery) store.Settlement {
	defer o.release(d.Endpoint)
	begun := o.f.now()
	out := o.f.sender.Send(ctx, webhook.Message{URL: d.URL, ID: deliveryID(d), Body: d.Body, Attempt: d.Attempt + 1})
	s := store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt}
	if ctx.Err() != nil && out.Result != webhook.Delivered {
		// Cut off by the end of Run: it was no attempt. It is made when the process
		// starts again, or the lease has run out.
		s.State, s.Due, s.Log = "", begun, nil
		return s
	}
	log := deliveryAttempt{At: begun, Status: out.Status, Duration: out.Duration}
	if out.Err != nil {
		log.Error = out.Err.Error()
	}
	s.Log = appendLog(d.Log, log)
	delay, again := o.f.o.Webhook.Schedule.Next(d.Attempt+1, out.RetryAfter, nil)
	switch {
	case out.Result == webhook.Delivered:
		s.State = store.Delivered
	case out.Result != webhook.Retry || !again:
		s.State = store.Failed
		o.f.o.Logger.Warn("a webhook is given up", "job", d.ID, "sequence", d.Seq, "endpoint", d.Endpoint, "attempt", d.Attempt+1, "error", out.Err)
	default:
		s.State, s.Due = store.Pending, o.f.now().Add(delay)
	}
	return s
}

// settle records what came of attempts, all that wait at a time, and makes sure that
// the next one of a job is looked for.
func (o *outbox) settle(ctx context.Context, outcomes <-chan store.Settlement) {
	for s := range outcomes {
		batch := []store.Settlement{s}
	gather:
		for {
			select {
			case s, ok := <-outcomes:
				if !ok {
					break gather
				}
				batch = append(batch, s)
			default:
				break gather
			}
		}
		batch = slices.DeleteFunc(batch, func(s store.Settlement) bool { return s.State == "" })
		o.record(ctx, batch)
		o.alarm.ring()
	}
}

// record tries for a while to store outcomes. What it cannot store is sent again when
// the lease has run out.
func (o *outbox) record(ctx context.Context, batch []store.Settlement) {
	if len(batch) == 0 {
		return
	}
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

// deliveryID is the same for every attempt at a delivery, and for no other one.
func deliveryID(d *store.Delivery) string { return fmt.Sprintf("%s-%d", d.ID, d.Seq) }

// appendLog adds an attempt to the log of a delivery, of which the latest are kept.
func appendLog(log []byte, a deliveryAttempt) []byte {
	const most = 20
	var all []deliveryAttempt
	if len(log) > 0 {
		_ = json.Unmarshal(log, &all) // a log that cannot be read begins anew
	}
	all = append(all, a)
	if len(all) > most {
		all = all[len(all)-most:]
	}
	b, err := json.Marshal(all)
	if err != nil {
		return log
	}
	return b
}
