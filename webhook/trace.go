package webhook

import (
	"context"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"
)

// Phase is a part of an attempt. They follow each other in the order in which they
// are listed; an attempt that uses an open connection begins with [PhaseWrite].
type Phase string

// The phases of an attempt.
const (
	PhaseDNS     Phase = "dns"     // the name of the receiver, or of the proxy, is looked up
	PhaseConnect Phase = "connect" // a connection is made, through the proxy if there is one
	PhaseTLS     Phase = "tls"     // the receiver proves who it is
	PhaseWrite   Phase = "write"   // the request is sent
	PhaseHeaders Phase = "headers" // the receiver is to answer
	PhaseBody    Phase = "body"    // the body of the answer is read
)

// trace notes how far an attempt comes. Dials go on after the attempt that began
// them, so what they tell may come late, and from other goroutines.
type trace struct {
	mu sync.Mutex
	seen
}

// seen is how far an attempt has come.
type seen struct {
	phase     Phase
	addr      netip.AddrPort // that is or was connected to
	connected bool           // there was a connection, to the proxy if there is one
	tunneled  bool           // the proxy has answered a CONNECT
	got       bool           // the attempt has its connection: dials are no news any more
}

// traceKey has the trace of an attempt in its context.
type traceKey struct{}

func (t *trace) into(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, traceKey{}, t)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:  func(string) { t.begin() },
		DNSStart: func(httptrace.DNSStartInfo) { t.dial(PhaseDNS, "") },
		ConnectStart: func(_, addr string) {
			t.dial(PhaseConnect, addr)
		},
		ConnectDone: func(_, addr string, err error) {
			if err == nil {
				t.dial(PhaseConnect, addr)
				t.connect()
			}
		},
		TLSHandshakeStart: func() { t.dial(PhaseTLS, "") },
		GotConn: func(c httptrace.GotConnInfo) {
			if !c.Reused {
				_ = c.Conn.SetDeadline(time.Time{}) // that its making was given
			}
			t.use(c.Conn.RemoteAddr())
		},
		GotFirstResponseByte: func() { t.reach(PhaseHeaders) },
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				t.reach(PhaseHeaders)
			}
		},
	})
}

// begin is called again when an open connection turns out to be dead. That there was one
// stays true.
func (t *trace) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = seen{connected: t.connected, tunneled: t.tunneled}
}

func (t *trace) dial(p Phase, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.got {
		return
	}
	t.phase = p
	if a, err := netip.ParseAddrPort(addr); err == nil {
		t.addr = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
}

func (t *trace) connect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected = true
}

func (t *trace) tunnel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tunneled = true
}

func (t *trace) use(addr net.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.phase, t.connected, t.got = PhaseWrite, true, true
	if tcp, ok := addr.(*net.TCPAddr); ok {
		t.addr = netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), uint16(tcp.Port))
	}
}

// reach notes a phase of the attempt's own connection. A receiver may answer before
// it has read everything.
func (t *trace) reach(p Phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phase != PhaseBody {
		t.phase = p
	}
}

// now is how far the attempt has come.
func (t *trace) now() seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}
