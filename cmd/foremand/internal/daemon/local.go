package daemon

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// onLoopback reports whether an address to listen on, HOST:PORT, can be reached from
// this machine alone.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// localOnly keeps browsers from using a server on loopback that asks nobody who they
// are: a page from elsewhere must not submit jobs, nor read them by way of a name of
// its own that it makes resolve to this machine (DNS rebinding).
func localOnly(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sendProblem(w, http.StatusForbidden, "cross_origin", "Cross-origin request",
			"a web page of another origin may not use this server, which has no tokens to tell callers apart")
	}))
	next = origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")) {
			sendProblem(w, http.StatusForbidden, "foreign_host", "Foreign host",
				"this server has no tokens to tell callers apart, so it answers only to localhost, 127.0.0.1 and [::1]; start it with -tokens-file to use other names")
			return
		}
		next.ServeHTTP(w, r)
	})
}
