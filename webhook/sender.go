package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	defaultTimeout = 15 * time.Second
	maxResponse    = 16 << 10 // bytes of a response body that are read, and of its header
	maxMessageID   = 256      // bytes

	userAgent = "foreman-webhook/1"
)

// SenderOptions says how a [Sender] works. The zero value is fine.
type SenderOptions struct {
	// Secret signs the messages; see the package comment for its two forms.
	// If it is "", they are not signed.
	Secret string
	// Timeout bounds one attempt, from name resolution to the last byte of
	// the answer. If it is not positive, 15 s is used.
	Timeout time.Duration
	// Guard decides which addresses may be dialed. If it is nil, only public
	// ones: NewGuard().
	Guard *Guard
}

// Message is one event on its way to one receiver.
type Message struct {
	URL     string
	ID      string // webhook-id, the same on every attempt: 1 to 256 visible ASCII characters, no dot
	Body    []byte // JSON, the same on every attempt
	Attempt int    // counted from 1 by the caller; it is not sent
}

// Sender makes single attempts at delivering messages. It uses no proxy, keeps
// no cookies and follows no redirect. It is safe for concurrent use.
type Sender struct {
	signer    signer
	timeout   time.Duration
	transport *http.Transport
}

// NewSender returns a Sender; o may be nil. It fails if the secret starts with
// "whsec_" and is not base64 from there. Close the Sender after use.
func NewSender(o *SenderOptions) (*Sender, error) {
	if o == nil {
		o = &SenderOptions{}
	}
	sig, err := newSigner(o.Secret)
	if err != nil {
		return nil, err
	}
	guard := o.Guard
	if guard == nil {
		guard = NewGuard()
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return newSender(sig, timeout, guard), nil
}

func newSender(sig signer, timeout time.Duration, guard *Guard) *Sender {
	dialer := &net.Dialer{
		// A dial goes on when its attempt has ended, for the next one to use.
		Timeout:        timeout,
		ControlContext: guard.control,
	}
	return &Sender{signer: sig, timeout: timeout, transport: newTransport(dialer)}
}

// newTransport returns the transport of a Sender. Nobody else may supply one,
// and it has no proxy: either would take the dialing away from the guard.
func newTransport(d *net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:            d.DialContext,
		TLSHandshakeTimeout:    d.Timeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // a small answer must not become a large one
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxResponse,
	}
}

// Send makes one attempt at m, at once, and says what came of it. It returns
// when the receiver has answered, the timeout has passed or ctx has ended; an
// attempt that ctx ended has the result Retry.
//
// A status from 200 to 299 is a delivery, even if the body after it does not
// end in time. 410 is GiveUp, as is a message that cannot be sent at all: the
// URL is not one of http or https with a host, or the ID is not as it should
// be. All else is Retry: other statuses, redirects among them, network faults,
// and an address that the guard refuses, since a name may have another address
// the next time. At most 16 KiB of the answer's body are read, and dropped.
func (s *Sender) Send(ctx context.Context, m Message) Outcome {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout,
		fmt.Errorf("no answer within %v: %w", s.timeout, context.DeadlineExceeded))
	defer cancel()
	out := s.attempt(ctx, m)
	out.Duration = time.Since(start)
	return out
}

func (s *Sender) attempt(ctx context.Context, m Message) Outcome {
	req, err := s.request(ctx, m)
	if err != nil {
		return Outcome{Result: GiveUp, Err: err}
	}
	// Not http.Client, which follows redirects and puts the URL in its errors.
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Outcome{Result: Retry, Err: &sendError{err}}
	}
	drain(resp)
	return judge(resp.StatusCode, resp.Header, time.Now())
}

// request returns the request of one attempt.
func (s *Sender) request(ctx context.Context, m Message) (*http.Request, error) {
	u, err := parseURL(m.URL)
	if err != nil {
		return nil, err
	}
	if !validID(m.ID) {
		return nil, errors.New("webhook: a message ID has to be 1 to 256 visible ASCII characters without a dot")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(m.Body))
	if err != nil {
		return nil, fmt.Errorf("webhook: make request: %w", err)
	}
	req.URL, req.Host = u, u.Host // not given to NewRequest, whose errors quote it
	if u.User != nil {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	s.signer.sign(req.Header, m.ID, time.Now(), m.Body)
	return req, nil
}

// validID reports whether id can be a webhook-id. A dot would let the signed
// text, id.timestamp.body, be cut in two ways.
func validID(id string) bool {
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return id != "" && len(id) <= maxMessageID
}

// drain ends the answer. A connection whose answer was read to its end can be
// used again; for a long one it is cheaper to dial anew.
func drain(resp *http.Response) {
	// After 101 the body is the connection, and the context no longer ends it.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.CopyN(io.Discard, resp.Body, maxResponse)
	}
	_ = resp.Body.Close()
}

// Close closes the connections that are idle. The Sender still works after it.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }
