package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

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
var errProxyForbids = errors.New("the proxy forbids this receiver: it answered 403 Forbidden")

// onProxyAnswer looks at the answer to a CONNECT (RFC 9110, section 9.3.6). 502 and 504
// say that the proxy is well and the receiver cannot be reached (section 15.6).
func onProxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return fmt.Errorf("the proxy cannot reach the receiver: it answered %s", resp.Status)
	case http.StatusForbidden:
		return errProxyForbids
	}
	return &proxyError{resp.StatusCode}
}

// isProxyFault reports whether an attempt through a proxy failed because of that: it
// could not be connected to, or would not serve us.
func isProxyFault(err error, connected bool) bool {
	if !connected {
		return true
	}
	if _, ok := errors.AsType[*proxyError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "proxyconnect"
}
