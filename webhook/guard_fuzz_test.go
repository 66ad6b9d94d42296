package webhook_test

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// FuzzGuard holds that what the guard allows is no special address, nor leads to one
// that is written inside it, by what an oracle knows that has no table in common with
// the guard; and that it says the same of an address when a URL is handed in.
func FuzzGuard(f *testing.F) {
	for text := range refusedAddrs {
		f.Add(netip.MustParseAddr(text).AsSlice(), uint16(80), byte(0), "")
	}
	for i, text := range publicAddrs {
		f.Add(netip.MustParseAddr(text).AsSlice(), uint16(i), byte(i), "")
	}
	f.Add(netip.MustParseAddr("2a00:db8:122:344:7f:0:100::").AsSlice(), uint16(443), byte(4), "")
	f.Add(netip.MustParseAddr("fe80::1").AsSlice(), uint16(443), byte(4), "eth0")
	f.Fuzz(func(t *testing.T, bytes []byte, port uint16, length byte, zone string) {
		addr, ok := netip.AddrFromSlice(bytes)
		if !ok {
			return
		}
		if addr.Is6() {
			addr = addr.WithZone(zone)
		}
		usual := &webhook.Guard{}
		held(t, usual, addr, port, insideOf(addr))

		// And so under a NAT64 prefix of the operator's.
		bits := []int{32, 40, 48, 56, 64, 96}[int(length)%6]
		if prefix, err := addr.WithZone("").Prefix(bits); err == nil && addr.Is6() && !addr.Is4In6() {
			g := newGuard(t, webhook.GuardOptions{NAT64: []netip.Prefix{prefix}})
			held(t, g, addr, port, append(insideOf(addr), rfc6052(addr, bits)))
			if usual.Check("", netip.AddrPortFrom(addr, port)) != nil {
				require.Error(t, g.Check("", netip.AddrPortFrom(addr, port)), "it opens nothing")
			}
		}
	})
}

func held(t *testing.T, g *webhook.Guard, addr netip.Addr, port uint16, inside []netip.Addr) {
	t.Helper()
	ap := netip.AddrPortFrom(addr, port)
	err := g.Check("", ap)
	if err == nil {
		require.False(t, special(addr), addr)
		for _, a := range inside {
			require.False(t, special(a), "%v in %v", a, addr)
		}
		require.Empty(t, addr.Zone())
		require.False(t, port < 1024 && port != 80 && port != 443, port)
	}
	require.Equal(t, err == nil, g.Control(t.Context(), "tcp", ap.String(), nil) == nil)
	u := url.URL{Scheme: "http", Host: ap.String(), Path: "/"}
	whenHandedIn := g.CheckURL(u.String())
	require.Equal(t, err == nil, whenHandedIn == nil, "%v: %v, and %v", u.String(), err, whenHandedIn)
}

// special is what netip and the documents of the ranges say of an address.
func special(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if a.IsPrivate() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		a.IsInterfaceLocalMulticast() || !a.IsGlobalUnicast() {
		return true
	}
	b := a.AsSlice()
	if a.Is4() {
		switch n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]); {
		case b[0] == 0, b[0] >= 240: // this network, reserved
		case b[0] == 100 && b[1] >= 64 && b[1] <= 127: // shared
		case n>>8 == 192<<16, n>>8 == 192<<16|2: // protocol assignments, TEST-NET-1
		case n>>8 == 192<<16|88<<8|99: // 6to4 relays
		case b[0] == 198 && (b[1] == 18 || b[1] == 19): // benchmarking
		case n>>8 == 198<<16|51<<8|100, n>>8 == 203<<16|113: // TEST-NET-2 and 3
		case n == 168<<24|63<<16|129<<8|16: // Azure
		case b[0] == 161 && b[1] == 26: // IBM
		default:
			return false
		}
		return true
	}
	switch {
	case b[0] < 0x20, b[0] > 0x3f: // not assigned for global unicast
	case b[0] == 0x20 && b[1] == 0x01 && b[2] <= 1: // protocol assignments, Teredo
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8: // documentation
	case b[0] == 0x20 && b[1] == 0x02: // 6to4
	case b[0] == 0x3f && b[1] == 0xff && b[2] < 0x10: // documentation
	default:
		return false
	}
	return true
}

// insideOf are the IPv4 addresses that somebody may read in addr.
func insideOf(a netip.Addr) []netip.Addr {
	if a.Is4() {
		return nil
	}
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	var found []netip.Addr
	switch {
	case [10]byte(b[:10]) == [10]byte{}: // compatible, mapped
		found = append(found, last)
	case [12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff}: // translated
		found = append(found, last)
	case [12]byte(b[:12]) == [12]byte{1: 0x64, 2: 0xff, 3: 0x9b}: // NAT64
		found = append(found, last)
	case b[0] == 0x20 && b[1] == 0x02: // 6to4
		found = append(found, netip.AddrFrom4([4]byte(b[2:6])))
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // Teredo: server, and client
		found = append(found, netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	if (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP
		found = append(found, last)
	}
	return found
}

// rfc6052 reads the IPv4 address after a prefix bit by bit, leaving out bits 64 to 71.
func rfc6052(a netip.Addr, bits int) netip.Addr {
	b := a.As16()
	var v4 [4]byte
	for i := range 32 {
		at := bits + i
		if bits < 96 && at >= 64 {
			at += 8
		}
		v4[i/8] |= b[at/8] >> (7 - at%8) & 1 << (7 - i%8)
	}
	return netip.AddrFrom4(v4)
}
