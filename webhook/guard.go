package webhook

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// Guard decides which addresses may be dialed, so that whoever may name a URL
// cannot make this process talk to its own machine, a private network or a
// cloud's metadata service. The zero value allows public addresses only. A
// Guard does not change and is safe for concurrent use.
//
// Public are the addresses that the IANA special-purpose registries leave: for
// IPv4 all others, for IPv6 those of 2000::/3. Two ranges that are public by
// number and private in the clouds of Azure and IBM are refused as well. Ports
// are not restricted.
//
// A Guard cannot know the public address of this machine, nor a NAT64 prefix
// that an operator took from its own space. Where those matter, a firewall or
// an egress proxy has to close them.
type Guard struct {
	all   bool
	allow []netip.Prefix
}

// NewGuard returns a Guard that allows public addresses and those in allow,
// for example 127.0.0.0/8 for receivers on the same machine. An invalid prefix
// allows nothing. IPv4 addresses need IPv4 prefixes; ::/0 does not hold them.
func NewGuard(allow ...netip.Prefix) *Guard {
	g := &Guard{allow: slices.Clone(allow)}
	for i, p := range g.allow {
		if p.Addr().Is4In6() && p.Bits() >= 96 { // as Check sees the address
			g.allow[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return g
}

// AllowAll returns a Guard that allows every address. It is for programs whose
// URLs are their own; a URL from anyone else needs NewGuard.
func AllowAll() *Guard { return &Guard{all: true} }

// GuardError says that a [Guard] refused an address.
type GuardError struct {
	Addr netip.Addr // the zero Addr if it is not an IP address at all
	Rule string     // which rule refused it, for example "127.0.0.0/8: loopback (RFC 1122)"
}

// Error names the address and the rule, and says what would open it.
func (e *GuardError) Error() string {
	text := fmt.Sprintf("webhook: address %v refused: %s", e.Addr, e.Rule)
	if !e.Addr.IsValid() || e.Addr.Zone() != "" {
		return text // no allow-list opens these
	}
	return text + "; only public addresses are allowed, and those on the operator's allow-list"
}

// Check returns nil if addr may be dialed, or else a [*GuardError]. An IPv4
// address mapped into IPv6 counts as the IPv4 address. An address with a zone
// is refused.
func (g *Guard) Check(addr netip.Addr) error {
	switch {
	case !addr.IsValid():
		return &GuardError{Addr: addr, Rule: "not an IP address"}
	case g.all:
		return nil
	case addr.Zone() != "":
		return &GuardError{Addr: addr, Rule: "addresses with a zone belong to one link"}
	}
	addr = addr.Unmap()
	for _, p := range g.allow {
		if p.Contains(addr) {
			return nil
		}
	}
	if rule := specialUse(addr); rule != "" {
		return &GuardError{Addr: addr, Rule: rule}
	}
	return nil
}

// control is for [net.Dialer].ControlContext: it runs after name resolution,
// for each address just before it is connected to, so that no name can resolve
// to something else in between.
func (g *Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	if g.all {
		return nil
	}
	ap, _ := netip.ParseAddrPort(address) // if it fails, Check refuses the zero address
	return g.Check(ap.Addr())
}
