package webhook

import (
	"net"
	"net/netip"
)

// isOwn reports whether addr, which is unmapped, leads to a listener of this
// program. The unspecified address leads to this machine when it is dialed.
func (g *Guard) isOwn(addr netip.Addr, port uint16) bool {
	for _, own := range g.own {
		if own.Port() != port {
			continue
		}
		if own.Addr() == addr || addr.IsUnspecified() || own.Addr().IsUnspecified() && ofThisMachine(addr) {
			return true
		}
	}
	return false
}

// ofThisMachine reports whether this machine has addr now, or cannot tell.
func ofThisMachine(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == addr {
			return true
		}
	}
	return false
}
