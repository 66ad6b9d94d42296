package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// ErrProxyUnreachable says that no connection to the egress proxy could be made:
// whatever the receiver is. [Outcome].Err wraps it.
var ErrProxyUnreachable = errors.New("webhook: the proxy cannot be reached")

// checkProxy returns nil for a proxy that a [Sender] can use.
func checkProxy(u *url.URL) error {
	if u != nil && (u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "") {
		return errors.New("webhook: the proxy has to be given as http://host:port or https://host:port")
	}
	return nil
}

// proxyError says that the proxy has not let a request through.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered %d %s", e.status, http.StatusText(e.status))
}

// errProxyForbids is as good as a refusal of the guard: it is about the receiver.
var errProxyForbids = errors.New("the proxy forbids this receiver")

// onProxyAnswer looks at the answer to a CONNECT (RFC 9110, section 9.3.6). 502, 503 and
// 504 say that the proxy is well and the receiver cannot be reached (sections 15.6.3 to
// 15.6.5). 407 asks for a password only with a challenge (section 15.5.8); some proxies
// answer it, as others do 403, to what their policy forbids.
func onProxyAnswer(ctx context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		t.tunnel()
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("the proxy cannot reach the receiver: it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	case http.StatusForbidden:
		return errProxyForbids
	case http.StatusProxyAuthRequired:
		if !asksForPassword(resp) {
			return errProxyForbids
		}
	}
	return &proxyError{resp.StatusCode}
}

func asksForPassword(resp *http.Response) bool {
	return resp.StatusCode == http.StatusProxyAuthRequired && resp.Header.Get("Proxy-Authenticate") != ""
}

// unreachableProxy is what anybody may be told of a proxy that cannot be reached: what is
// wrong, and neither its name nor what it shows. Err has the cause, for whoever runs it.
func unreachableProxy(err error) error {
	why := "connecting failed"
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		why = "its name cannot be looked up"
		if dns.IsTimeout {
			why = "the resolver did not answer"
		}
	} else if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		why = "it did not answer in time"
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		why = "connection refused"
	} else if isTLS(err) {
		why = "TLS with it failed"
	}
	return fmt.Errorf("%w: %w", ErrProxyUnreachable, &sendError{why, err})
}

func isTLS(err error) bool {
	return strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// proxyFault tells of an attempt through a proxy that ended in err whether that is at
// fault, and whether it could not even be connected to. One that takes a CONNECT and does
// not answer it is at fault, but for one that was well meanwhile and ran out of time: it
// waits for the receiver. What goes wrong behind its answer is not its fault.
func proxyFault(err error, s seen, well bool) (fault, unreachable bool) {
	if _, ok := errors.AsType[*proxyError](err); ok {
		return true, false
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !s.connected || ok && op.Op == "proxyconnect" {
		return true, true
	}
	if well && errors.Is(err, context.DeadlineExceeded) {
		return false, false
	}
	return !s.got && !s.tunneled, false
}
