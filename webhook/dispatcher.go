package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"
)

const (
	retries   = 5        // after the first attempt
	maxEvents = 1024     // in a Dispatcher at a time, and so the most goroutines and connections
	maxBytes  = 64 << 20 // of their bodies together
)

// Dispatcher delivers events in the background. It is for programs that have
// no durable outbox: what is not delivered when the process ends is lost.
//
// Each event is tried at once, and after a failure 5 times more, about 1, 2,
// 4, 8 and 16 seconds apart (each wait up to 20 % shorter or longer, and as
// long as a Retry-After header asks, up to 24 hours). Events with the same
// JobID are delivered one after the other in the order in which they were
// fired: the next one starts when the one before was delivered or given up. After
// 410 (Gone) those that wait behind it are dropped, which is logged.
// Events of different jobs do not wait for each other.
//
// A Dispatcher is safe for concurrent use. It has a goroutine for each job
// that has events on their way, and none when there are no events.
type Dispatcher struct {
	baseDelay time.Duration // before the first retry; doubles with each further one

	sender *Sender
	log    *slog.Logger
	ctx    context.Context // of all attempts and waits; ends when Close gives up
	cancel context.CancelCauseFunc
	active sync.WaitGroup // the goroutines

	mu        sync.Mutex
	closed    bool
	waiting   map[string][]delivery // by job, behind the event that is on its way; a key for each goroutine
	events    int                   // waiting and on their way
	bytes     int                   // of their bodies
	abandoned int                   // events that Close gave up
}

// delivery is one event on its way.
type delivery struct {
	jobID   string
	state   string
	message Message
}

// NewDispatcher returns a Dispatcher. If secret is "", events are not signed.
// If logger is nil, [slog.Default] is used.
//
// The Dispatcher dials any address, private and loopback ones too. Its URLs
// have to come from the program itself; for those of others use a [Sender].
//
// A secret that starts with "whsec_" and is not base64 from there is logged as
// an error, and its bytes are the key of both signatures.
func NewDispatcher(secret string, logger *slog.Logger) *Dispatcher {
	if logger == nil {
		logger = slog.Default()
	}
	sig, err := newSigner(secret)
	if err != nil {
		logger.Error("webhook-signature is made with the bytes of the secret as they are", "error", err)
		sig = rawSigner(secret)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Dispatcher{
		baseDelay: time.Second,
		sender:    newSender(sig, 0, AllowAll()),
		log:       logger,
		ctx:       ctx,
		cancel:    cancel,
		waiting:   make(map[string][]delivery),
	}
}

// Fire starts the delivery of e to url and returns at once. It keeps nothing
// of e that the caller may change later.
//
// An event is dropped, which is logged as an error, if its JSON cannot be made
// (see [Event.MarshalJSON]), if 1,024 events or 64 MiB of them are not settled
// yet, or after Close.
func (d *Dispatcher) Fire(url string, e Event) {
	body, err := e.MarshalJSON()
	x := delivery{
		jobID:   e.JobID,
		state:   e.State,
		message: Message{URL: url, ID: "msg_" + rand.Text(), Body: body},
	}
	if err == nil {
		err = d.accept(x)
	}
	if err != nil {
		d.report(slog.LevelError, "webhook event dropped", x, slog.Any("error", err))
	}
}

// accept puts x in its place, or says why there is none.
func (d *Dispatcher) accept(x delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("webhook: the dispatcher is closed: fire events before Close")
	}
	if d.events == maxEvents || d.bytes+len(x.message.Body) > maxBytes {
		return fmt.Errorf("webhook: no room for an event of %d bytes beside %d events of %d bytes that are not settled: "+
			"see why their receivers fail or are slow, or keep events in a durable outbox",
			len(x.message.Body), d.events, d.bytes)
	}
	d.events++
	d.bytes += len(x.message.Body)
	if line, running := d.waiting[x.jobID]; running {
		d.waiting[x.jobID] = append(line, x)
		return nil
	}
	d.waiting[x.jobID] = nil
	d.active.Go(func() {
		for more := true; more; {
			x, more = d.settle(x, d.deliver(x))
		}
	})
	return nil
}

// settle takes x off the books, with all that waits behind it if the receiver wants
// no more, and returns the next event of the job.
func (d *Dispatcher) settle(x delivery, end Result) (next delivery, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.strike(x)
	if end == Retry {
		d.abandoned++
	}
	line := d.waiting[x.jobID]
	if end == Stop {
		for _, y := range line {
			d.strike(y)
			d.report(slog.LevelWarn, "webhook event dropped: the receiver wants no more of this job", y)
		}
		line = nil
	}
	if len(line) == 0 {
		delete(d.waiting, x.jobID)
		return delivery{}, false
	}
	next, line[0] = line[0], delivery{} // the array does not keep the body
	d.waiting[x.jobID] = line[1:]
	return next, true
}

// strike takes x off the books. mu is held.
func (d *Dispatcher) strike(x delivery) {
	d.events--
	d.bytes -= len(x.message.Body)
}

// deliver makes the attempts at x until it is delivered or given up. It returns how
// that ended: with Retry if Close ended it.
func (d *Dispatcher) deliver(x delivery) Result {
	schedule := doubling(d.baseDelay, retries)
	for x.message.Attempt = 1; ; x.message.Attempt++ {
		out := d.sender.Send(d.ctx, x.message)
		if out.Result == Delivered {
			d.report(slog.LevelDebug, "webhook delivered", x, slog.Int("status", out.Status))
			return Delivered
		}
		if d.ctx.Err() != nil {
			return Retry
		}
		wait, more := schedule.Next(x.message.Attempt, out.RetryAfter, nil)
		if out.Result != Retry || !more {
			d.report(slog.LevelError, "webhook given up", x, slog.Int("status", out.Status), slog.Any("error", out.Err))
			if out.Result == Stop {
				return Stop
			}
			return GiveUp
		}
		d.report(slog.LevelWarn, "webhook attempt failed", x,
			slog.Int("status", out.Status), slog.Any("error", out.Err), slog.Duration("retry_in", wait))
		select {
		case <-time.After(wait):
		case <-d.ctx.Done():
			return Retry
		}
	}
}

// report logs what happened to x, without its body and without the parts of
// its URL that may be secret.
func (d *Dispatcher) report(level slog.Level, msg string, x delivery, attrs ...slog.Attr) {
	host := ""
	if u, err := url.Parse(x.message.URL); err == nil {
		host = u.Host
	}
	d.log.LogAttrs(d.ctx, level, msg, append([]slog.Attr{ //nolint:sloglint // every caller gives a constant
		slog.String("job_id", x.jobID),
		slog.String("state", x.state),
		slog.String("host", host),
		slog.Int("attempt", x.message.Attempt),
	}, attrs...)...)
}

// Close stops accepting events and waits until those there are were delivered
// or given up. If ctx ends before, Close abandons the rest and returns an error
// that says how many they were and wraps the cause of ctx. No delivery runs
// after Close has returned. A further Close gives the same answer.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()

	idle := make(chan struct{})
	go func() {
		d.active.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		d.cancel(context.Cause(ctx))
		<-idle
	}
	d.sender.Close()

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.abandoned > 0 {
		return fmt.Errorf("webhook: %d events were not delivered before the dispatcher was closed: %w",
			d.abandoned, context.Cause(d.ctx))
	}
	return nil
}
