package webhook

import "net/netip"

// specialRange is a range of addresses that are not the public Internet.
type specialRange struct {
	prefix netip.Prefix
	use    string
}

// specialRanges has the IANA IPv4 special-purpose address registry and
// multicast, the parts of the IPv6 one that lie in 2000::/3, and cloud services
// on public numbers. Ranges that the registries call globally reachable are
// here too (AS112, AMT, anycast): no receiver lives in them. The first IPv6
// entries lie outside 2000::/3, which is refused as a whole; they are here for
// a clearer message. It is never written to.
var specialRanges = []specialRange{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("161.26.0.0/16"), "IBM Cloud private services"},
	{netip.MustParsePrefix("168.63.129.16/32"), "Azure platform services"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, and the metadata of clouds (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.31.196.0/24"), "AS112 (RFC 7535)"},
	{netip.MustParsePrefix("192.52.193.0/24"), "AMT (RFC 7450)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relays (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("192.175.48.0/24"), "AS112 (RFC 7534)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 1112)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved, and broadcast (RFC 1112)"},

	{netip.MustParsePrefix("::/128"), "unspecified (RFC 4291)"},
	{netip.MustParsePrefix("::1/128"), "loopback (RFC 4291)"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64 (RFC 6052)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64 (RFC 8215)"},
	{netip.MustParsePrefix("fc00::/7"), "unique local (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link-local (RFC 4291)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291)"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments, Teredo and ORCHID among them (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4 (RFC 3056)"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "AS112 (RFC 7534)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
}

// specialUse returns the rule that makes addr, which is unmapped and has no
// zone, something else than a public unicast address, or "".
func specialUse(addr netip.Addr) string {
	for _, r := range specialRanges {
		if r.prefix.Contains(addr) {
			return r.prefix.String() + ": " + r.use
		}
	}
	if addr.Is4() {
		return ""
	}
	b := addr.As16()
	if b[0]>>5 != 0b001 {
		return "outside 2000::/3, all of IPv6 that is assigned for global unicast (RFC 4291)"
	}
	// An ISATAP address holds an IPv4 address, private ones too, in any prefix.
	if b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		return "ISATAP interface identifier (RFC 5214)"
	}
	return ""
}
