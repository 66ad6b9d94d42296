package webhook

import (
	"net/netip"
	"slices"
	"strings"
)

const maxName = 253 // bytes of a host name (RFC 1035)

// hostPattern returns an entry of [GuardOptions].Hosts in the form that hosts
// are compared in, with *.example.com as .example.com.
func hostPattern(entry string) (pattern string, ok bool) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		return addr.Unmap().String(), addr.Zone() == ""
	}
	rest, below := strings.CutPrefix(entry, "*.")
	name, ok := hostName(rest)
	if below {
		name = "." + name
	}
	return name, ok
}

// hostName returns a host in lower case and without a dot at its end, and
// whether it is a name: what ends in a number is an IP address to some resolver.
func hostName(host string) (name string, ok bool) {
	labels := hostLabels(host)
	if labels == nil || isNumber(labels[len(labels)-1]) {
		return "", false
	}
	return strings.Join(labels, "."), true
}

// hostLabels returns the labels of a host in lower case, or nil if it is not of
// letters, digits, hyphens and underscores between single dots.
func hostLabels(host string) []string {
	host = strings.TrimSuffix(host, ".")
	// Before any other letter, such as the Kelvin sign, becomes one of these.
	if len(host) > maxName || strings.ContainsFunc(host, notInName) {
		return nil
	}
	labels := strings.Split(strings.ToLower(host), ".")
	if slices.Contains(labels, "") {
		return nil
	}
	return labels
}

// hostAllowed reports whether whatever host resolves to may be dialed.
func (g *Guard) hostAllowed(host string) bool {
	if len(g.hosts) == 0 {
		return false
	}
	name, ok := hostName(host)
	if !ok {
		addr, err := netip.ParseAddr(host)
		return err == nil && slices.Contains(g.hosts, addr.Unmap().String())
	}
	return slices.ContainsFunc(g.hosts, func(pattern string) bool {
		return name == pattern || pattern[0] == '.' && strings.HasSuffix(name, pattern)
	})
}

// isNumber reports whether label is decimal, octal or hexadecimal as inet_aton
// reads it. Such a label at the end makes a host an IPv4 address (WHATWG URL,
// "ends in a number").
func isNumber(label string) bool {
	digits, set := label, "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		digits, set = rest, "0123456789abcdef"
	}
	return strings.Trim(digits, set) == ""
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
}
