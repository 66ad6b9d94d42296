package webhook

import (
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// publicOnly has the special-purpose registries of IANA, and ranges on public
// numbers that lead to a cloud's own services. Ranges that the registries call
// globally reachable are there too (AS112, AMT, anycast): no receiver lives in
// them. It is never written to.
var publicOnly = ssrf.New(ssrf.WithDeniedV4Prefixes(azurePlatform, ibmServices))

var (
	azurePlatform = netip.MustParsePrefix("168.63.129.16/32")
	ibmServices   = netip.MustParsePrefix("161.26.0.0/16")
)

// specialUse returns the rule that makes addr, which is unmapped and has no
// zone, something else than a public unicast address, or "".
func specialUse(addr netip.Addr) string {
	if isISATAP(addr) {
		return "an IPv4 address inside (ISATAP, RFC 5214)"
	}
	if publicOnly.SafeAddr(addr) == nil {
		return ""
	}
	if addr.Is6() && !ssrf.IPv6GlobalUnicast.Contains(addr) {
		return "outside " + ssrf.IPv6GlobalUnicast.String() + ", which all of public IPv6 is in: " + use(addr)
	}
	for _, p := range slices.Concat(ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes) {
		if p.Contains(addr) {
			return p.String() + ": " + use(addr)
		}
	}
	return use(addr)
}

// use says what addr is for, where people know a word for it.
func use(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "this machine"
	case addr.IsLoopback():
		return "loopback"
	case addr.IsPrivate():
		return "private"
	case addr.IsLinkLocalUnicast():
		return "link-local, and the metadata of clouds"
	case addr.IsMulticast():
		return "multicast"
	case azurePlatform.Contains(addr):
		return "platform services of Azure"
	case ibmServices.Contains(addr):
		return "private services of IBM Cloud"
	case ssrf.IPv6NAT64Prefix.Contains(addr):
		return "NAT64"
	}
	return "special purpose by the registries of IANA"
}

// isISATAP reports whether addr has the interface identifier of ISATAP, in
// whatever prefix. It holds an IPv4 address, private ones too.
func isISATAP(addr netip.Addr) bool {
	b := addr.As16()
	return addr.Is6() && b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
