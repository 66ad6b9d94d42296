package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// GuardOptions says what a [Guard] allows. The zero value allows public
// addresses, on ports where HTTP is usual.
type GuardOptions struct {
	// Prefixes are opened although they are not public, such as 127.0.0.0/8
	// for receivers on the same machine. IPv4 addresses need IPv4 prefixes:
	// ::/0 does not hold them. If Prefixes is empty, none is.
	Prefixes []netip.Prefix
	// Hosts are the hosts of URLs, such as "hooks.example.com", of which
	// whatever they resolve to may be dialed. "*.example.com" stands for all
	// names below example.com, not for itself. An IP address stands for URLs
	// with that address. Who has the say over the names has it over what is
	// dialed. If Hosts is empty, there are none.
	Hosts []string
	// Ports are the only ones that may be dialed, on whatever host. If Ports
	// is empty, these are 80, 443 and all from 1024 up.
	Ports []uint16
	// NAT64 are the prefixes from which the network that this machine is in
	// makes IPv6 addresses of IPv4 ones (RFC 6052). Their addresses are
	// refused if the IPv4 address inside is, too. They open nothing. For
	// 64:ff9b::/96, which Prefixes may open, this holds without being said. If
	// NAT64 is empty, there are no others.
	NAT64 []netip.Prefix
	// Own are listeners of this program. They are refused even where the
	// address or the host is allowed. The unspecified address, 0.0.0.0 or ::,
	// stands for all addresses that this machine has when it is dialed. If Own
	// is empty, none is refused for that.
	Own []netip.AddrPort
}

// The options that a [GuardError] can name.
const (
	optionPrefixes = "Prefixes"
	optionPorts    = "Ports"
)

// NewGuard returns a Guard; o may be nil. The error names the entry of o that
// means nothing: an invalid prefix, a host that is neither a name in ASCII nor
// "*." and a name nor an IP address, port 0, a NAT64 prefix whose length RFC
// 6052 does not have, or a listener without address or port.
func NewGuard(o *GuardOptions) (*Guard, error) {
	if o == nil {
		o = &GuardOptions{}
	}
	g := &Guard{ports: slices.Clone(o.Ports)}
	for _, p := range o.Prefixes {
		if !p.IsValid() {
			return nil, errors.New("webhook: GuardOptions.Prefixes has an invalid prefix: make them with netip.ParsePrefix")
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 { // as Check sees the address
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		g.prefixes = append(g.prefixes, p)
	}
	for _, h := range o.Hosts {
		pattern, ok := hostPattern(h)
		if !ok {
			return nil, fmt.Errorf("webhook: GuardOptions.Hosts has %q: use names such as hooks.example.com or *.example.com, without scheme and port, or IP addresses", h)
		}
		g.hosts = append(g.hosts, pattern)
	}
	if slices.Contains(o.Ports, 0) {
		return nil, errors.New("webhook: GuardOptions.Ports has 0: use ports from 1 to 65535")
	}
	for _, p := range o.NAT64 {
		if !isNAT64(p) {
			return nil, fmt.Errorf("webhook: GuardOptions.NAT64 has %v: use IPv6 prefixes of 32, 40, 48, 56, 64 or 96 bits (RFC 6052)", p)
		}
		g.nat64 = append(g.nat64, p.Masked())
	}
	for _, l := range o.Own {
		if !l.IsValid() || l.Port() == 0 {
			return nil, fmt.Errorf("webhook: GuardOptions.Own has %v: use an address and the port that is listened on", l)
		}
		g.own = append(g.own, netip.AddrPortFrom(l.Addr().Unmap().WithZone(""), l.Port()))
	}
	return g, nil
}
