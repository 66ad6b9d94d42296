package ollama

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const standardPort = "11434"

// parseURL reads the forms of OLLAMA_HOST, as a client has to understand them. Its
// errors do not repeat the text: it may hold a password.
func parseURL(s string) (*url.URL, error) {
	s = strings.TrimSpace(s)
	port := standardPort
	switch scheme, _, ok := strings.Cut(s, "://"); {
	case !ok:
		s = "http://" + s
	case strings.EqualFold(scheme, "http"):
		port = "80"
	case strings.EqualFold(scheme, "https"):
		port = "443"
	default:
		return nil, errors.New("the URL of the model server must begin with http:// or https://, or be a host and port")
	}
	u, err := url.Parse(bracketed(s))
	switch {
	case err != nil:
		return nil, errors.New("the URL of the model server cannot be read: write it as http://host:port")
	case u.User != nil:
		return nil, errors.New("the URL of the model server must not have a user name or password: send them with Options.Transport")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the URL of the model server must not have a query or fragment")
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.Is4() && ip.IsUnspecified() {
		host = "127.0.0.1"
	} else if err == nil && ip.IsUnspecified() {
		host = "::1"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("port %s of the model server must be from 1 to 65535", p)
		}
		port = p
	}
	u.Host = net.JoinHostPort(host, port)
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

// bracketed puts an IPv6 address that stands alone into the brackets that a URL
// needs.
func bracketed(s string) string {
	scheme, rest, _ := strings.Cut(s, "://")
	host, path, hasPath := strings.Cut(rest, "/")
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() {
		return s
	}
	s = scheme + "://[" + host + "]"
	if hasPath {
		s += "/" + path
	}
	return s
}
