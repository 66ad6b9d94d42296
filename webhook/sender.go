package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	defaultTimeout  = 15 * time.Second
	maxResponse     = 16 << 10 // bytes of a response body that are read, and of its header
	maxMessageID    = 256      // bytes
	maxResponseText = 256      // bytes of a response body that are told
	// Servers close connections that are idle: Node's after 5 s. A request that meets that
	// fails, so be first.
	idleTimeout = 4 * time.Second
	maxIdle     = 256 // connections kept open for the next attempts

	userAgent = "foreman-webhook/1"
)

// Headers that are the same for all; they are never written to.
var (
	contentTypes = []string{"application/json"}
	userAgents   = []string{userAgent}
)

// SenderOptions says how a [Sender] works. The zero value is fine.
type SenderOptions struct {
	// Secret signs the messages; see the package comment for its two forms.
	// If it is "", they are not signed.
	Secret string
	// OldSecrets are those that Secret replaces, at most 10. Each that has not
	// expired adds a signature to webhook-signature, behind that of Secret.
	OldSecrets []OldSecret
	// Timeout bounds one attempt, from name resolution to the last byte of
	// the answer. If it is not positive, 15 s is used.
	Timeout time.Duration
	// Guard decides which addresses may be dialed. If it is nil, only public
	// ones: that of NewGuard(nil).
	Guard *Guard
	// Proxy, an http or https URL, is what every request goes through: with
	// CONNECT to https receivers, in the absolute form to http ones. It looks up
	// the names, so the Guard sees only which hosts are asked for, and the proxy
	// has to keep names from leading to private addresses. A user and password in
	// it are given to it alone. If Proxy is nil, there is none: the environment
	// is never asked.
	Proxy *url.URL
	// RootCAs are whom receivers have to be certified by. If it is nil, those of
	// the system. That they are certified is always checked.
	RootCAs *x509.CertPool
	// Certificates are shown to receivers that ask for one (mutual TLS). If it is
	// empty, none is.
	Certificates []tls.Certificate
	// Now is the clock that webhook-timestamp is by, old secrets expire by, and a
	// Retry-After with a date is read by. If it is nil, [time.Now] is used.
	Now func() time.Time
}

// Message is one event on its way to one receiver.
type Message struct {
	URL     string
	ID      string // webhook-id, the same on every attempt: 1 to 256 visible ASCII characters, no dot
	Body    []byte // JSON, the same on every attempt
	Attempt int    // counted from 1 by the caller; it is not sent
}

// Sender makes single attempts at delivering messages. It keeps no cookies and
// follows no redirect. It is safe for concurrent use.
type Sender struct {
	signer    signer
	timeout   time.Duration
	late      error // that the timeout has passed
	guard     *Guard
	now       func() time.Time
	transport *http.Transport
	tunnels   atomic.Uint64 // how many times a proxy has answered a CONNECT
}

// NewSender returns a Sender; o may be nil. It fails if a secret starts with
// "whsec_" and is not base64 from there, if the old secrets are more than 10, one
// of them is empty, or there is no new one, and if the proxy is of a kind that it
// cannot use. Close the Sender after use.
func NewSender(o *SenderOptions) (*Sender, error) {
	if o == nil {
		o = &SenderOptions{}
	}
	sig, err := newSigner(o.Secret, o.OldSecrets...)
	if err != nil {
		return nil, err
	}
	if err := checkProxy(o.Proxy); err != nil {
		return nil, err
	}
	guard := o.Guard
	if guard == nil {
		guard = &Guard{}
	}
	s := newSender(sig, o.Timeout, guard)
	s.transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, Certificates: o.Certificates}
	if o.Now != nil {
		s.now = o.Now
	}
	if o.Proxy != nil {
		s.useProxy(o.Proxy)
	}
	return s, nil
}

func newSender(sig signer, timeout time.Duration, guard *Guard) *Sender {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	dialer := &net.Dialer{
		// A dial goes on when its attempt has ended, for the next one to use.
		Timeout:        timeout,
		ControlContext: guard.control,
	}
	return &Sender{
		signer: sig, timeout: timeout, guard: guard, now: time.Now, transport: newTransport(dialer),
		late: fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded),
	}
}

// newTransport returns the transport of a Sender. Nobody else may supply one: it
// would take the dialing away from the guard.
func newTransport(d *net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:         withHost(d.DialContext),
		TLSHandshakeTimeout: d.Timeout,
		// HTTP/1.1 alone: over HTTP/2 a receiver that refuses each stream with a GOAWAY
		// has net/http dial again and again, and leaves it with connections that nobody
		// closes.
		ForceAttemptHTTP2:      false,
		DisableCompression:     true, // a small answer must not become a large one
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponse,
	}
}

// useProxy sends everything through a proxy. All that is dialed then is the proxy,
// which the guard has no say in.
func (s *Sender) useProxy(u *url.URL) {
	d := &net.Dialer{Timeout: s.timeout}
	s.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err == nil {
			// A CONNECT goes on when its attempt has ended, and not for much longer.
			err = c.SetDeadline(time.Now().Add(s.timeout + time.Second))
		}
		return c, err
	}
	s.transport.Proxy = http.ProxyURL(u)
	s.transport.OnProxyConnectResponse = func(ctx context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
		s.tunnels.Add(1)
		return onProxyAnswer(ctx, u, req, resp)
	}
}

func (s *Sender) proxied() bool { return s.transport.Proxy != nil }

// Send makes one attempt at m, at once, and says what came of it. It returns
// when the receiver has answered, the timeout has passed or ctx has ended; an
// attempt that ctx ended has the result Retry. A deadline of ctx is as the timeout.
//
// A status from 200 to 299 is a delivery, even if the body after it does not
// end in time. 410 is Stop. A message that cannot be sent at all is GiveUp: the
// URL is not one of http or https with a host, or the ID is not as it should
// be. All else is Retry: other statuses, redirects among them, network faults,
// and an address that the guard refuses, since a name may have another address
// the next time. At most 16 KiB of the answer's body are read.
func (s *Sender) Send(ctx context.Context, m Message) Outcome {
	start := time.Now()
	timed, cancel := context.WithTimeoutCause(ctx, s.timeout, s.late)
	defer cancel()
	out := s.attempt(timed, m)
	if out.Result != Delivered && errors.Is(ctx.Err(), context.Canceled) {
		out.Fault = FaultSender
	}
	out.Duration = time.Since(start)
	return out
}

func (s *Sender) attempt(ctx context.Context, m Message) Outcome {
	var t trace
	req, err := s.request(t.into(ctx), m)
	if err != nil {
		return Outcome{Result: GiveUp, Fault: FaultSender, Err: err}
	}
	if s.proxied() { // the dialer's hook sees only the proxy
		if err := s.guard.checkTarget(req.URL); err != nil {
			return Outcome{Result: Retry, Fault: FaultGuard, Err: err}
		}
	}
	tunnels := s.tunnels.Load()
	// Not http.Client, which follows redirects and puts the URL in its errors.
	resp, err := s.transport.RoundTrip(req) //nolint:bodyclose // drain closes it
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		out := Outcome{Result: Retry}
		out.Response, out.Err = told(err)
		at := t.now()
		out.Phase, out.Address = at.phase, at.addr
		out.Fault = faultOf(err)
		if out.Fault == FaultReceiver && s.proxied() {
			fault, unreachable := proxyFault(err, at, s.tunnels.Load() != tunnels)
			if fault {
				out.Fault, out.Response = FaultProxy, "" // what it has said is not the receiver's
			}
			if unreachable {
				out.Err = unreachableProxy(err)
			}
		}
		return out
	}
	t.reach(PhaseBody)
	response := drain(resp)
	out := judge(resp.StatusCode, resp.Header, s.now())
	at := t.now()
	out.Phase, out.Address = at.phase, at.addr
	if out.Result != Delivered {
		out.Response = response
		out.Fault = FaultReceiver
		if s.proxied() && req.URL.Scheme == "http" && asksForPassword(resp) {
			out.Fault, out.Response = FaultProxy, ""
		}
	}
	return out
}

// faultOf tells who is to see to an error before there was an answer, if there is no
// proxy.
func faultOf(err error) Fault {
	if _, ok := errors.AsType[*GuardError](err); ok || errors.Is(err, errProxyForbids) {
		return FaultGuard
	}
	return FaultReceiver
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
	req.Header["Content-Type"] = contentTypes
	req.Header["User-Agent"] = userAgents
	s.signer.sign(req.Header, m.ID, s.now(), m.Body)
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

// drain ends the answer, and returns how its body begins. A connection whose answer
// was read to its end can be used again; for a long one it is cheaper to dial anew.
func drain(resp *http.Response) string {
	defer func() { _ = resp.Body.Close() }()
	// After 101 the body is the connection, and the context no longer ends it.
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == http.NoBody {
		return ""
	}
	var start [maxResponseText]byte
	n, err := io.ReadFull(resp.Body, start[:])
	if err == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxResponse-maxResponseText)
	}
	return printable(start[:n])
}

// printable makes text of what a stranger has sent: it can be logged and shown.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '.'
	}, string(b))
}

// Close closes the connections that are idle. The Sender still works after it.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }
