package webhook_test

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// What the columns of attacks say when there is nothing to tell.
const (
	passes  = ""                                             // CheckURL has nothing against it
	nothing = "net/http and the resolver make nothing of it" // so the guard is not asked
)

// attack is one way to have somebody else's address dialed.
type attack struct {
	name, url string
	resolves  string // what some resolver answers for its host; "" for a literal
	submit    string // what CheckURL says, in part
	dial      string // the rule that refuses it at the dial, in part
}

// attacks are the table of forms that guards are known to let pass. They are refused
// by default. Those that the resolver of Go does not know, and the one of C does, have
// the answer of the latter.
var attacks = []attack{
	{"loopback", "http://127.0.0.1/", "", "loopback", "127.0.0.0/8"},
	{"loopback, end", "http://127.255.255.254/", "", "loopback", "127.0.0.0/8"},
	{"unspecified", "http://0.0.0.0/", "", "this machine", "0.0.0.0/8"},
	{"this network", "http://0.1.2.3/", "", "0.0.0.0/8", "0.0.0.0/8"},
	{"private 10", "http://10.0.0.1/", "", "private", "10.0.0.0/8"},
	{"private 172, begin", "http://172.16.0.1/", "", "private", "172.16.0.0/12"},
	{"private 172, end", "http://172.31.255.255/", "", "private", "172.16.0.0/12"},
	{"private 192", "http://192.168.0.1/", "", "private", "192.168.0.0/16"},
	{"shared, begin", "http://100.64.0.1/", "", "100.64.0.0/10", "100.64.0.0/10"},
	{"shared, end", "http://100.127.255.255/", "", "100.64.0.0/10", "100.64.0.0/10"},
	{"link-local", "http://169.254.0.1/", "", "link-local", "169.254.0.0/16"},
	{"metadata of AWS, Google, Azure", "http://169.254.169.254/latest/meta-data/", "", "metadata", "169.254.0.0/16"},
	{"metadata of ECS", "http://169.254.170.2/v2/credentials", "", "metadata", "169.254.0.0/16"},
	{"metadata of Alibaba", "http://100.100.100.200/latest/meta-data/", "", "100.64.0.0/10", "100.64.0.0/10"},
	{"metadata of Oracle", "http://192.0.0.192/opc/v2/", "", "192.0.0.0/24", "192.0.0.0/24"},
	{"protocol assignments", "http://192.0.0.1/", "", "192.0.0.0/24", "192.0.0.0/24"},
	{"TEST-NET-1", "http://192.0.2.1/", "", "192.0.2.0/24", "192.0.2.0/24"},
	{"AS112", "http://192.31.196.1/", "", "192.31.196.0/24", "192.31.196.0/24"},
	{"AMT", "http://192.52.193.1/", "", "192.52.193.0/24", "192.52.193.0/24"},
	{"6to4 relay", "http://192.88.99.1/", "", "192.88.99.0/24", "192.88.99.0/24"},
	{"AS112, direct", "http://192.175.48.1/", "", "192.175.48.0/24", "192.175.48.0/24"},
	{"benchmarking", "http://198.18.0.1/", "", "198.18.0.0/15", "198.18.0.0/15"},
	{"benchmarking, end", "http://198.19.255.255/", "", "198.18.0.0/15", "198.18.0.0/15"},
	{"TEST-NET-2", "http://198.51.100.1/", "", "198.51.100.0/24", "198.51.100.0/24"},
	{"TEST-NET-3", "http://203.0.113.1/", "", "203.0.113.0/24", "203.0.113.0/24"},
	{"multicast", "http://224.0.0.1/", "", "multicast", "224.0.0.0/4"},
	{"reserved", "http://240.0.0.1/", "", "240.0.0.0/4", "240.0.0.0/4"},
	{"broadcast", "http://255.255.255.255/", "", "240.0.0.0/4", "240.0.0.0/4"},

	{"two parts", "http://127.1/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"one number", "http://2130706433/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"one hex number", "http://0x7f000001/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"hex and decimal", "http://0x7f.1/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"octal", "http://0177.0.0.1/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"zero", "http://0/", "0.0.0.0", "usual form", "0.0.0.0/8"},
	{"leading zeros", "http://127.000.000.001/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"IPv4 and dot", "http://127.0.0.1./", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"hex part", "http://0x7f.0.0.1/", "127.0.0.1", "usual form", "127.0.0.0/8"},
	{"one octal number", "http://017700000001/", "127.0.0.1", "usual form", "127.0.0.0/8"},

	{"localhost", "http://localhost/", "127.0.0.1 ::1", "loopback", "loopback"},
	{"LOCALHOST", "http://LOCALHOST/", "127.0.0.1 ::1", "loopback", "loopback"},
	{"localhost in circles", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "127.0.0.1 ::1", "xn--", "loopback"},
	{"digits in circles", "http://①②⑦.⓪.⓪.①/", "127.0.0.1", "xn--", "127.0.0.0/8"},
	{"ideographic dots", "http://127。0。0。1/", "127.0.0.1", "xn--", "127.0.0.0/8"},
	{"localhost.", "http://localhost./", "127.0.0.1 ::1", "loopback", "loopback"},
	{"below localhost", "http://foo.localhost/", "127.0.0.1 ::1", "loopback", "loopback"},

	{"name of loopback", "http://loopback.test/", "127.0.0.1", passes, "127.0.0.0/8"},
	{"name of metadata", "http://metadata.test/", "169.254.169.254", passes, "169.254.0.0/16"},
	{"name of 0.0.0.0", "http://zero.test/", "0.0.0.0", passes, "0.0.0.0/8"},
	{"name of loopback and dot", "http://dotted.test./", "127.0.0.1", passes, "127.0.0.0/8"},
	{"name of mapped", "http://mapped.test/", "::ffff:127.0.0.1", passes, "127.0.0.0/8"},
	{"name of NAT64", "http://nat64.test/", "64:ff9b::7f00:1", passes, "2000::/3"},
	{"name of 6to4", "http://sixtofour.test/", "2002:7f00:1::", passes, "2002::/16"},
	{"name of metadata in IPv6", "http://imds.test/", "fd00:ec2::254", passes, "private"},

	{"[::]", "http://[::]/", "", "this machine", "2000::/3"},
	{"[::1]", "http://[::1]/", "", "loopback", "2000::/3"},
	{"[::1], long", "http://[0:0:0:0:0:0:0:1]/", "", "loopback", "2000::/3"},
	{"mapped", "http://[::ffff:127.0.0.1]/", "", "loopback", "127.0.0.0/8"},
	{"mapped, hex", "http://[::ffff:7f00:1]/", "", "loopback", "127.0.0.0/8"},
	{"mapped metadata", "http://[::ffff:169.254.169.254]/", "", "metadata", "169.254.0.0/16"},
	{"compatible", "http://[::127.0.0.1]/", "", "2000::/3", "2000::/3"},
	{"translated", "http://[::ffff:0:127.0.0.1]/", "", "2000::/3", "2000::/3"},
	{"NAT64", "http://[64:ff9b::7f00:1]/", "", "NAT64", "2000::/3"},
	{"local NAT64", "http://[64:ff9b:1::7f00:1]/", "", "2000::/3", "2000::/3"},
	{"6to4", "http://[2002:7f00:1::]/", "", "2002::/16", "2002::/16"},
	{"Teredo", "http://[2001:0:5ef5:79fb:0:0:80ff:fffe]/", "", "2001::/23", "2001::/23"},
	{"link-local IPv6", "http://[fe80::1]/", "", "link-local", "2000::/3"},
	{"link-local and zone", "http://[fe80::1%25lo]/", "", "zone", "zone"},
	{"loopback and zone", "http://[::1%25lo]/", "", "zone", "zone"},
	{"mapped and zone", "http://[::ffff:127.0.0.1%25lo]/", "", "zone", "zone"},
	{"site-local", "http://[fec0::1]/", "", "2000::/3", "2000::/3"},
	{"unique local", "http://[fc00::1]/", "", "private", "2000::/3"},
	{"metadata of AWS in IPv6", "http://[fd00:ec2::254]/", "", "private", "2000::/3"},
	{"metadata of Google in IPv6", "http://[fd20:ce::254]/", "", "private", "2000::/3"},
	{"multicast IPv6", "http://[ff02::1]/", "", "multicast", "2000::/3"},
	{"discard only", "http://[100::1]/", "", "2000::/3", "2000::/3"},
	{"dummy prefix", "http://[100:0:0:1::1]/", "", "2000::/3", "2000::/3"},
	{"SRv6", "http://[5f00::1]/", "", "2000::/3", "2000::/3"},
	{"documentation, new", "http://[3fff::1]/", "", "3fff::/20", "3fff::/20"},
	{"documentation, old", "http://[2001:db8::1]/", "", "2001:db8::/32", "2001:db8::/32"},
	{"benchmarking IPv6", "http://[2001:2::1]/", "", "2001::/23", "2001::/23"},
	{"ORCHIDv2", "http://[2001:20::1]/", "", "2001::/23", "2001::/23"},
	{"AS112 IPv6", "http://[2001:4:112::1]/", "", "2001::/23", "2001::/23"},
	{"AS112 IPv6, direct", "http://[2620:4f:8000::1]/", "", "2620:4f:8000::/48", "2620:4f:8000::/48"},
	{"not assigned", "http://[4000::1]/", "", "2000::/3", "2000::/3"},

	{"port without host", "http://:80/", "", "no host", nothing},
	{"user", "http://user@127.0.0.1/", "", "user name", "127.0.0.0/8"},
	{"host after a fragment", "http://127.0.0.1#@example.test/", "", "fragment", "127.0.0.0/8"},
	{"host after a query", "http://127.0.0.1?@example.test/", "", "loopback", "127.0.0.0/8"},
	{"escaped digits", "http://%31%32%37.0.0.1/", "", "parsed", nothing},
	{"backslash", `http://127.0.0.1\@example.test/`, "", "parsed", nothing},
	{"no host", "http:///", "", "no host", nothing},
	{"port above all", "http://127.0.0.1:99999/", "", "port", nothing},
	{"ftp", "ftp://127.0.0.1/", "", "scheme", nothing},
	{"file", "file:///etc/passwd", "", "scheme", nothing},
	{"gopher", "gopher://127.0.0.1:6379/_x", "", "scheme", nothing},
	{"unix", "unix:///run/docker.sock", "", "scheme", nothing},

	{"SSH", "http://93.184.216.34:22/", "", "port 22", "below 1024"},
	{"SMTP", "http://93.184.216.34:25/", "", "port 25", "below 1024"},
	{"SMTP of a name", "http://smtp.test:25/", "93.184.216.34", "port 25", "below 1024"},

	{"Azure WireServer", "http://168.63.129.16/", "", "Azure", "Azure"},
	{"name of Azure WireServer", "http://wire.test/", "168.63.129.16", passes, "Azure"},
	{"IBM Cloud", "http://161.26.0.10/", "", "IBM", "IBM"},
	{"ISATAP", "http://[::5efe:7f00:1]/", "", "ISATAP", "ISATAP"},
	{"ISATAP in a public prefix", "http://[2600:1f00::5efe:7f00:1]/", "", "ISATAP", "ISATAP"},
	{"ISATAP, global flag", "http://[2600:1f00::200:5efe:7f00:1]/", "", "ISATAP", "ISATAP"},
}

func TestGuardTable(t *testing.T) {
	ipv6 := haveIPv6()
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			g := newGuard(t, webhook.GuardOptions{})
			if err := g.CheckURL(a.url); a.submit == passes {
				require.NoError(t, err, "names are not looked up")
			} else {
				require.ErrorContains(t, err, a.submit)
			}

			n := network{names: map[string][]string{}}
			if a.resolves != "" {
				n.names = map[string][]string{strings.TrimSuffix(hostOf(t, a.url), "."): {a.resolves}}
			}
			out := n.sender(t, g).Send(t.Context(), message(a.url))
			require.Empty(t, n.dialed)
			require.NotEqual(t, webhook.Delivered, out.Result)
			if a.dial == nothing {
				return
			}

			host, port := hostOf(t, a.url), portOf(t, a.url)
			addrs := strings.Fields(a.resolves)
			if len(addrs) == 0 {
				addrs = []string{host}
			}
			for addr, err := range hook(t, g, host, port, addrs...) {
				var refused *webhook.GuardError
				require.ErrorAs(t, err, &refused, addr)
				require.Contains(t, refused.Rule, a.dial)
				want := "Prefixes"
				if strings.Contains(a.dial, "1024") {
					want = "Ports"
				} else if strings.Contains(a.dial, "zone") {
					want = ""
				}
				require.Equal(t, want, refused.Option)
			}
			asked := a.resolves == "" || strings.Contains(host, ".test")
			if literal, err := netip.ParseAddr(addrs[0]); asked && err == nil && (ipv6 || literal.Unmap().Is4()) {
				var refused *webhook.GuardError
				require.ErrorAs(t, out.Err, &refused, "the sender asked the guard")
			}
		})
	}
}

func hostOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func portOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	if u.Port() == "" {
		return "80"
	}
	return u.Port()
}

// What looks like an attack and is none, and what is public, is dialed.
func TestGuardTableOfThePublic(t *testing.T) {
	for name, c := range map[string]struct{ url, submit, dialed string }{
		"IPv4":                  {"http://93.184.216.34/", passes, "93.184.216.34:80"},
		"mapped IPv4":           {"http://[::ffff:93.184.216.34]/", passes, "93.184.216.34:80"},
		"8443":                  {"http://93.184.216.34:8443/", passes, "93.184.216.34:8443"},
		"name":                  {"http://example.test/", passes, "93.184.216.34:80"},
		"name in https":         {"https://example.test/", passes, "93.184.216.34:443"},
		"loopback in the user":  {"http://127.0.0.1%2f@example.test/", "user name", "93.184.216.34:80"},
		"loopback in the query": {"http://example.test?@127.0.0.1/", passes, "93.184.216.34:80"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, webhook.GuardOptions{})
			if err := g.CheckURL(c.url); c.submit == passes {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.submit)
			}
			n := network{names: map[string][]string{"example.test": {"93.184.216.34"}}}
			out := n.sender(t, g).Send(t.Context(), message(c.url))
			require.ErrorIs(t, out.Err, errNotDialed)
			require.Equal(t, []string{c.dialed}, n.dialed)
		})
	}
}

// What a name resolves to counts when it is dialed, not when it was checked.
func TestGuardRebinding(t *testing.T) {
	n := network{names: map[string][]string{"rebind.test": {"93.184.216.34", "127.0.0.1"}}}
	g := newGuard(t, webhook.GuardOptions{})
	s := n.sender(t, g)
	require.NoError(t, g.CheckURL("http://rebind.test/"))
	require.ErrorIs(t, s.Send(t.Context(), message("http://rebind.test/")).Err, errNotDialed)
	var refused *webhook.GuardError
	require.ErrorAs(t, s.Send(t.Context(), message("http://rebind.test/")).Err, &refused)
	require.Equal(t, []string{"93.184.216.34:80"}, n.dialed)
}

// Of the addresses of a name, those that are allowed are used. To sort them, the
// resolver connects a UDP socket to each, which sends nothing.
func TestGuardMixedAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		guard   webhook.GuardOptions
		answer  string
		refused []string
		dialed  string
	}{
		"public last":  {webhook.GuardOptions{}, "127.0.0.1 169.254.169.254 10.0.0.1 93.184.216.34", []string{"127.0.0.1", "169.254.169.254", "10.0.0.1"}, "93.184.216.34"},
		"public first": {webhook.GuardOptions{}, "93.184.216.34 127.0.0.1", []string{"127.0.0.1"}, "93.184.216.34"},
		"both kinds":   {webhook.GuardOptions{}, "::1 fd00:ec2::254 93.184.216.34", []string{"::1", "fd00:ec2::254"}, "93.184.216.34"},
		"one opened": {
			webhook.GuardOptions{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
			"127.0.0.2 127.0.0.1 127.0.0.3",
			[]string{"127.0.0.2", "127.0.0.3"},
			"127.0.0.1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, c.guard)
			n := network{names: map[string][]string{"mixed.test": {c.answer}}}
			require.Error(t, n.sender(t, g).Send(t.Context(), message("http://mixed.test/")).Err)
			require.Equal(t, []string{net.JoinHostPort(c.dialed, "80")}, n.dialed)

			said := hook(t, g, "mixed.test", "80", strings.Fields(c.answer)...)
			require.NoError(t, said[c.dialed])
			for _, addr := range c.refused {
				require.Error(t, said[addr], addr)
			}
		})
	}
}

// An operator's NAT64 may have any prefix, so it has to be named.
func TestGuardNAT64AtDial(t *testing.T) {
	n := network{names: map[string][]string{"nat64.test": {"2a00:db8:122:344::7f00:1"}, "public.test": {"2a00:db8:122:344::5db8:d822"}}}
	g := newGuard(t, webhook.GuardOptions{NAT64: []netip.Prefix{netip.MustParsePrefix("2a00:db8:122:344::/96")}})
	require.Error(t, g.CheckURL("http://[2a00:db8:122:344::7f00:1]/"))
	require.Error(t, n.sender(t, g).Send(t.Context(), message("http://nat64.test/")).Err)
	require.Empty(t, n.dialed)
	if haveIPv6() {
		require.ErrorIs(t, n.sender(t, g).Send(t.Context(), message("http://public.test/")).Err, errNotDialed)
		require.Len(t, n.dialed, 1)
	}
}

// The control hook knows the host that was asked for, and trusts no other.
func TestGuardHostsAtDial(t *testing.T) {
	n := network{names: map[string][]string{
		"hooks.internal": {"10.0.0.1"}, "a.corp.example": {"10.0.0.2"}, "evilcorp.example": {"10.0.0.3"}, "other.test": {"10.0.0.1"},
	}}
	g := newGuard(t, webhook.GuardOptions{Hosts: []string{"hooks.internal", "*.corp.example"}})
	s := n.sender(t, g)
	for _, host := range []string{"hooks.internal", "HOOKS.internal.", "A.Corp.Example:8080"} {
		require.ErrorIs(t, s.Send(t.Context(), message("http://"+host+"/")).Err, errNotDialed, host)
	}
	require.Equal(t, []string{"10.0.0.1:80", "10.0.0.1:80", "10.0.0.2:8080"}, n.dialed)
	for _, host := range []string{"evilcorp.example", "other.test", "10.0.0.1", "hooks.internal:25"} {
		var refused *webhook.GuardError
		require.ErrorAs(t, s.Send(t.Context(), message("http://"+host+"/")).Err, &refused, host)
	}
	require.Len(t, n.dialed, 3)
}

// With its address and its host allowed, a listener of the program gets nothing.
func TestGuardOwnAtDial(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	require.NoError(t, err)
	for _, own := range []string{"127.0.0.1", "0.0.0.0", "[::]"} {
		g := newGuard(t, webhook.GuardOptions{
			Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
			Hosts:    []string{"localhost", "self.test"},
			Own:      []netip.AddrPort{netip.MustParseAddrPort(own + ":" + port)},
		})
		n := network{names: map[string][]string{"self.test": {"127.0.0.1"}}}
		for _, host := range []string{"127.0.0.1", "localhost", "self.test", "0.0.0.0", "[::ffff:127.0.0.1]"} {
			out := n.sender(t, g).Send(t.Context(), message("http://"+host+":"+port+"/"))
			var refused *webhook.GuardError
			require.ErrorAs(t, out.Err, &refused, host)
			require.Contains(t, refused.Rule, "listens")
		}
		require.Empty(t, n.dialed)
		out := newSender(t, webhook.SenderOptions{Guard: g}).Send(t.Context(), message(r.URL))
		require.Equal(t, webhook.Retry, out.Result)
	}
	require.Empty(t, r.requests())
}

// A redirect is not followed, wherever it leads, so that there is no second dial.
func TestGuardRedirect(t *testing.T) {
	var inside string
	r := listen(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, inside, http.StatusTemporaryRedirect)
	})
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "http://127.0.0.1/", r.URL + "/again", "//localhost/"} {
		inside = to
		out := newSender(t, webhook.SenderOptions{}).Send(t.Context(), message(r.URL))
		require.Equal(t, http.StatusTemporaryRedirect, out.Status)
		require.Equal(t, webhook.Retry, out.Result)
	}
	require.Len(t, r.requests(), 4)
}

// A proxy would dial in place of the guard's dialer.
func TestGuardNoProxy(t *testing.T) {
	proxy := listen(t, status(http.StatusOK))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	n := network{names: map[string][]string{"metadata.test": {"169.254.169.254"}, "public.test": {"93.184.216.34"}}}
	s := n.sender(t, newGuard(t, webhook.GuardOptions{}))
	for _, raw := range []string{"http://169.254.169.254/", "http://metadata.test/", "https://metadata.test/"} {
		var refused *webhook.GuardError
		require.ErrorAs(t, s.Send(t.Context(), message(raw)).Err, &refused, raw)
	}
	require.ErrorIs(t, s.Send(t.Context(), message("http://public.test/")).Err, errNotDialed)
	require.Equal(t, []string{"93.184.216.34:80"}, n.dialed)
	require.Empty(t, proxy.requests())
}
