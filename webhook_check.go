package foreman

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/foreman-go/foreman/webhook"
)

// Ping is the state in the body of what [Foreman.CheckWebhook] sends. No job has it.
const Ping State = "ping"

// WebhookCheck is what a check of a webhook URL has seen.
type WebhookCheck struct {
	URL string
	// Refused is why the URL would not be accepted with a job; then nothing was sent.
	Refused string
	// Addresses are those of the host, and which of them may be dialed; none if an
	// egress proxy looks names up, or there are none.
	Addresses []WebhookAddress
	// ID is the webhook-id of the ping, and Signed whether it had signatures.
	ID     string
	Signed bool
	// Delivered says that the receiver has accepted the ping.
	Delivered bool
	// Attempt is how that went; nil if nothing was sent.
	Attempt *DeliveryAttempt
}

// WebhookAddress is an address of a webhook's host.
type WebhookAddress struct {
	Address netip.Addr
	Refused string // why it is not dialed; "" if it may be
}

// checksAtOnce bounds how many checks of webhooks go on at a time. Over HTTP each owner
// has one of them.
const checksAtOnce = 4

// checks are those under way.
type checks struct {
	mu     sync.Mutex
	all    int
	owners map[string]bool
}

// begin reports whether a check may begin; end has to be called after it. An owner who
// is named may have one at a time.
func (c *checks) begin(owner string) (end func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == checksAtOnce || owner != "" && c.owners[owner] {
		return nil, false
	}
	c.all++
	if owner != "" {
		c.owners[owner] = true
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		delete(c.owners, owner)
	}, true
}

// CheckWebhook tries a webhook URL out: it looks the host up, applies the guard, and
// sends one ping, signed as webhooks are, with the state "ping" and an id that no job
// has. What it finds wrong with the URL or the receiver is in the WebhookCheck. It takes
// no longer than one attempt may. Errors: [ErrInvalid] without a URL, [ErrBusy] while
// four checks are under way, and the context's.
func (f *Foreman) CheckWebhook(ctx context.Context, url string) (*WebhookCheck, error) {
	return f.checkWebhook(ctx, url, "")
}

func (f *Foreman) checkWebhook(ctx context.Context, url, owner string) (*WebhookCheck, error) {
	if url == "" {
		return nil, invalid("url", "is required: give the webhook URL to check")
	}
	end, ok := f.checks.begin(owner)
	if !ok {
		return nil, fmt.Errorf("%w: other webhooks are being checked", ErrBusy)
	}
	defer end()
	begun := f.now()
	id := newID(begun)
	c := &WebhookCheck{URL: url, ID: "check_" + id.String(), Signed: f.o.Webhook.Secret != ""}
	if err := f.guard.CheckURL(url); err != nil {
		c.Refused = err.Error() + allowedWith(err)
		return c, nil
	}
	timed, cancel := context.WithTimeoutCause(ctx, f.o.Webhook.Timeout,
		fmt.Errorf("no answer within %v: %w", f.o.Webhook.Timeout, context.DeadlineExceeded))
	defer cancel()
	found, _ := f.sender.Lookup(timed, url) // the attempt tells what is wrong
	for _, a := range found {
		w := WebhookAddress{Address: a.IP}
		if a.Err != nil {
			w.Refused = a.Err.Error() + allowedWith(a.Err)
		}
		c.Addresses = append(c.Addresses, w)
	}
	body, err := webhook.Event{JobID: id.String(), State: string(Ping), Timestamp: begun}.MarshalJSON()
	if err != nil {
		return nil, err
	}
	begun = f.now()
	out := f.sender.Send(timed, webhook.Message{URL: url, ID: c.ID, Body: body, Attempt: 1})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.Delivered = out.Result == webhook.Delivered
	try := tryOf(begun, &out).attempt()
	c.Attempt = &try
	return c, nil
}
