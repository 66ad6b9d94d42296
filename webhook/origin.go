package webhook

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Origin returns scheme, host and port of a URL in one spelling, such as
// "https://example.com:443": what deliveries share that go to the same place, however
// their URLs write it. A URL that a request cannot be sent to is returned as it is.
func Origin(raw string) string {
	u, err := parseURL(raw)
	if err != nil {
		return raw
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	port, _ := portOf(u)
	return u.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}
