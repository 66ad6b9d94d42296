package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// maxAddresses bounds how many addresses of a host [Sender.Lookup] tells of.
const maxAddresses = 16

// Address is one address of a receiver's host.
type Address struct {
	IP  netip.Addr
	Err error // why the guard refuses it, a [*GuardError]; nil if it may be dialed
}

// Lookup resolves the host of a URL as an attempt does, and says of each address, at
// most 16, whether it may be dialed. It sends nothing to them. A Sender with a proxy
// leaves names to that, and returns none.
//
// The error is that of [Guard.CheckURL], or says that the name has no address.
func (s *Sender) Lookup(ctx context.Context, raw string) ([]Address, error) {
	if err := s.guard.CheckURL(raw); err != nil {
		return nil, err
	}
	u, err := parseURL(raw)
	if err != nil || s.proxied() {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	host := u.Hostname()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("webhook: the host %q has no address: %w", host, err)
	}
	port, _ := portOf(u)
	out := make([]Address, 0, len(found))
	for _, a := range found[:min(len(found), maxAddresses)] {
		a = a.Unmap()
		out = append(out, Address{IP: a, Err: s.guard.Check(host, netip.AddrPortFrom(a, port))})
	}
	return out, nil
}
