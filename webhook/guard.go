package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Guard decides what may be dialed, so that whoever may name a URL cannot make
// this process talk to its own machine, a private network or a cloud's
// metadata service. The zero value is that of NewGuard(nil). A Guard does not
// change and is safe for concurrent use.
//
// Public are the addresses that the IANA special-purpose registries leave: for
// IPv4 all others, for IPv6 those of 2000::/3. Two ranges that are public by
// number and private in the clouds of Azure and IBM are refused as well, and
// IPv6 addresses that hold an IPv4 one for ISATAP.
//
// A Guard cannot know the address that a NAT in front of this machine has, nor
// a NAT64 prefix that it was not told of. Where those matter, name them in
// [GuardOptions], or have a firewall or an egress proxy close them.
type Guard struct {
	all      bool
	prefixes []netip.Prefix
	hosts    []string // as hostPattern returns them
	ports    []uint16
	nat64    []netip.Prefix
	own      []netip.AddrPort // without zones, IPv4 as such
}

// AllowAll returns a Guard that allows every address and port. It is for
// programs whose URLs are their own; a URL from anyone else needs [NewGuard].
func AllowAll() *Guard { return &Guard{all: true} }

// Check returns nil if addr may be dialed on behalf of a URL with that host, or
// else a [*GuardError]. The host may be "". An IPv4 address mapped into IPv6
// counts as the IPv4 address. An address with a zone is refused.
func (g *Guard) Check(host string, addr netip.AddrPort) error {
	if g.all && addr.Addr().IsValid() {
		return nil
	}
	if rule, option := g.rule(host, addr.Addr(), addr.Port()); rule != "" {
		return &GuardError{Addr: addr.Addr().Unmap(), Port: addr.Port(), Rule: rule, Option: option}
	}
	return nil
}

// rule returns what refuses an address, or "", and the option that opens it.
func (g *Guard) rule(host string, addr netip.Addr, port uint16) (rule, option string) {
	switch {
	case !addr.IsValid():
		return "not an IP address", ""
	case addr.Zone() != "":
		return "addresses with a zone belong to one link", ""
	}
	if rule := g.portRule(port); rule != "" {
		return rule, optionPorts
	}
	addr = addr.Unmap()
	inner := g.inside(addr)
	if !g.hostAllowed(host) {
		if rule := g.specialUse(addr); rule != "" {
			return rule, optionPrefixes
		}
		for _, a := range inner {
			if rule := g.specialUse(a); rule != "" {
				return fmt.Sprintf("it stands for %v (NAT64, RFC 6052), in %s", a, rule), optionPrefixes
			}
		}
	}
	// Last, so that a refusal does not tell strangers which private addresses we have.
	for _, a := range append(inner, addr) {
		if g.isOwn(a, port) {
			return "this program itself listens there", ""
		}
	}
	return "", ""
}

// portRule returns what refuses a port, or "".
func (g *Guard) portRule(port uint16) string {
	switch {
	case g.all || slices.Contains(g.ports, port):
		return ""
	case len(g.ports) > 0:
		return "it is not on the list of ports"
	case port == 80 || port == 443 || port >= 1024:
		return ""
	}
	return "below 1024 only 80 and 443 are for HTTP"
}

// specialUse returns why addr is not a public one and has not been opened, or "".
func (g *Guard) specialUse(addr netip.Addr) string {
	for _, p := range g.prefixes {
		if p.Contains(addr) {
			return ""
		}
	}
	return specialUse(addr)
}

// control is for [net.Dialer].ControlContext, in place of Control, which is not
// called beside it. It runs after name resolution, for each address just before
// it is connected to, so that no name can resolve to something else in between.
func (g *Guard) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	if g.all {
		return nil
	}
	addr, _ := netip.ParseAddrPort(address) // if it fails, Check refuses the zero address
	host, _ := ctx.Value(hostKey{}).(string)
	return g.Check(host, addr)
}

// hostKey has the host that is dialed in the context of control.
type hostKey struct{}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// withHost tells control, which sees addresses only, for which host they are.
func withHost(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address) // "" is no allowed host
		return dial(context.WithValue(ctx, hostKey{}, host), network, address)
	}
}
