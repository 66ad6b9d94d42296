package webhook

import (
	"net/netip"

	"code.dny.dev/ssrf"
)

// isNAT64 reports whether p can be a prefix of NAT64 (RFC 6052, section 2.2).
func isNAT64(p netip.Prefix) bool {
	switch p.Bits() {
	case 32, 40, 48, 56, 64, 96:
		return p.Addr().Is6() && !p.Addr().Is4In6()
	}
	return false
}

// inside returns the IPv4 addresses that addr leads to by NAT64: none, or one,
// or more where prefixes overlap.
func (g *Guard) inside(addr netip.Addr) []netip.Addr {
	if addr.Is4() {
		return nil
	}
	var inner []netip.Addr
	if ssrf.IPv6NAT64Prefix.Contains(addr) {
		inner = append(inner, embedded(addr, 96))
	}
	for _, p := range g.nat64 {
		if p.Contains(addr) {
			inner = append(inner, embedded(addr, p.Bits()))
		}
	}
	return inner
}

// embedded returns the IPv4 address after a prefix of so many bits. It leaves
// out the octet from bit 64, which ought to be 0 and which a gateway may ignore.
func embedded(addr netip.Addr, bits int) netip.Addr {
	b := addr.As16()
	var v4 [4]byte
	at := bits / 8
	for i := range v4 {
		if at == 8 {
			at++
		}
		v4[i] = b[at]
		at++
	}
	return netip.AddrFrom4(v4)
}
