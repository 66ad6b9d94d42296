package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxURL = 2048 // bytes

// CheckURL returns nil if raw is fit to be kept as the URL of a receiver, or an
// error that says what to change, and quotes no more of raw than its host. It
// is for the moment when a URL is handed in. It looks up no
// names: what a name resolves to is checked at each attempt.
//
// A URL has at most 2,048 bytes of valid UTF-8 without spaces and control
// characters; its scheme is http or https; it has a host, no user name and no
// fragment. The host is a name of ASCII letters, digits, dots, hyphens and
// underscores, or an IP address. Ways to write an IPv4 address other than four
// decimal numbers, such as 127.1, 2130706433, 0x7f000001 or 0177.0.0.1, are
// refused whatever they stand for, since programs read them differently.
//
// An IP address has to be one that Check allows, on the port of the URL or of
// its scheme; else the error wraps a [*GuardError]. So does the port for any
// host. The name localhost, and those that end in .localhost, need a loopback
// address to be allowed, or to be among the hosts that are.
func (g *Guard) CheckURL(raw string) error {
	switch {
	case len(raw) > maxURL:
		return fmt.Errorf("webhook: the URL has %d bytes: at most %d are allowed", len(raw), maxURL)
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, unprintable):
		return errors.New("webhook: the URL has a space, a control character or a byte that is not UTF-8: percent-encode it")
	case strings.Contains(raw, "#"):
		return errors.New("webhook: the URL has a fragment, which is never sent: leave out # and what follows")
	}
	u, err := parseURL(raw)
	if err != nil {
		return err
	}
	if u.User != nil {
		return errors.New("webhook: the URL has a user name or password: leave it out, and check the signature instead")
	}
	return g.checkTarget(u)
}

// checkTarget checks what a URL says of where a request to it goes.
func (g *Guard) checkTarget(u *url.URL) error {
	port, ok := portOf(u)
	if !ok {
		return errors.New("webhook: the port of the URL is not a number from 1 to 65535, without zeros before it")
	}
	if rule := g.portRule(port); rule != "" {
		return &GuardError{Port: port, Rule: rule, Option: optionPorts}
	}
	return g.checkHost(u, port)
}

// parseURL parses a URL that a request can be sent to.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil: // not wrapped: it quotes the URL, which may hold a password
		return nil, errors.New("webhook: the URL cannot be parsed: give one such as https://example.com/hook")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("webhook: the scheme of the URL is neither https nor http: use one of these")
	case u.Hostname() == "":
		return nil, errors.New("webhook: the URL has no host: give one such as https://example.com/hook")
	}
	return u, nil
}

func (g *Guard) checkHost(u *url.URL, port uint16) error {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		return g.checkLiteral(host, port)
	}
	labels := hostLabels(host)
	switch {
	case labels == nil:
		return fmt.Errorf("webhook: %q is not a host name of ASCII letters, digits, dots and hyphens; an international name has to be written in its xn-- form", host)
	case isNumber(labels[len(labels)-1]):
		return g.checkLiteral(host, port)
	case labels[len(labels)-1] == "localhost":
		return g.checkLocalhost(host, port)
	}
	return nil
}

// checkLiteral checks a host that is an IP address, or that some resolvers
// take for one: no name ends in a number, but "127.1" does.
func (g *Guard) checkLiteral(host string, port uint16) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("webhook: the host %q is not an IP address in its usual form: write IPv4 as four decimal numbers without leading zeros", host)
	}
	return g.Check(host, netip.AddrPortFrom(addr, port))
}

func (g *Guard) checkLocalhost(host string, port uint16) error {
	err := g.Check(host, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	if err == nil || g.Check(host, netip.AddrPortFrom(netip.IPv6Loopback(), port)) == nil {
		return nil
	}
	return fmt.Errorf("webhook: the host %q is this machine: %w", host, err)
}

// portOf returns the port that a request to u is made to.
func portOf(u *url.URL) (port uint16, ok bool) {
	text := u.Port()
	switch {
	case strings.HasSuffix(u.Host, ":"):
		return 0, false
	case text == "" && u.Scheme == "https":
		return 443, true
	case text == "":
		return 80, true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n != 0 && text[0] != '0'
}

func unprintable(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
