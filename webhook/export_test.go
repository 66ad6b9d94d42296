package webhook

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"time"
)

const MaxEvents = maxEvents

// SetBaseDelay makes retries as quick as a test needs. Call it before Fire.
func (d *Dispatcher) SetBaseDelay(delay time.Duration) { d.baseDelay = delay }

// Sender returns the sender of d.
func (d *Dispatcher) Sender() *Sender { return d.sender }

// Transport returns the transport of s.
func (s *Sender) Transport() *http.Transport { return s.transport }

// SetDialer makes s dial with d, which has no guard of its own.
func (s *Sender) SetDialer(d *net.Dialer) { s.transport = newTransport(d) }

// Control is what the dialer of a Sender with the guard g calls.
func (g *Guard) Control(ctx context.Context, network, address string, c syscall.RawConn) error {
	return g.control(ctx, network, address, c)
}

// WithHost is what the DialContext of a Sender's dialer is wrapped in.
var WithHost = withHost

// Headers are those that an attempt made now has besides the ones that are the same
// for all.
func (s *Sender) Headers(id string, body []byte) http.Header {
	h := make(http.Header)
	s.signer.sign(h, id, time.Now(), body)
	return h
}
