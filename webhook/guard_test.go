package webhook_test

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// refusedAddrs are addresses that only an allow-list opens, each with a word
// of the rule that refuses it.
var refusedAddrs = map[string]string{
	"0.0.0.0": "0.0.0.0/8: this machine", "0.1.2.3": "0.0.0.0/8", "0.255.255.255": "0.0.0.0/8",
	"10.0.0.0": "private", "10.0.0.1": "private", "10.255.255.255": "private",
	"100.64.0.0": "100.64.0.0/10", "100.64.0.1": "100.64.0.0/10", "100.127.255.255": "100.64.0.0/10",
	"100.100.100.200": "100.64.0.0/10", // metadata of Alibaba
	"127.0.0.0":       "loopback", "127.0.0.1": "loopback", "127.255.255.255": "loopback",
	"161.26.0.0": "IBM", "161.26.0.10": "IBM", "161.26.255.255": "IBM",
	"168.63.129.16":   "Azure",
	"169.254.0.0":     "link-local",
	"169.254.169.254": "link-local", // metadata of AWS, Google and Azure
	"169.254.170.2":   "link-local", // metadata of ECS
	"169.254.255.255": "link-local",
	"172.16.0.0":      "private", "172.16.0.1": "private", "172.31.255.255": "private",
	"192.0.0.0": "192.0.0.0/24", "192.0.0.9": "192.0.0.0/24", "192.0.0.255": "192.0.0.0/24",
	"192.0.0.192": "192.0.0.0/24", // metadata of Oracle
	"192.0.2.1":   "192.0.2.0/24", "192.0.2.255": "192.0.2.0/24",
	"192.31.196.1": "192.31.196.0/24", "192.52.193.1": "192.52.193.0/24", "192.88.99.1": "192.88.99.0/24", "192.175.48.1": "192.175.48.0/24",
	"192.168.0.0": "private", "192.168.1.1": "private", "192.168.255.255": "private",
	"198.18.0.0": "198.18.0.0/15", "198.19.255.255": "198.18.0.0/15",
	"198.51.100.1": "198.51.100.0/24", "203.0.113.1": "203.0.113.0/24",
	"224.0.0.0": "multicast", "239.255.255.255": "multicast",
	"240.0.0.0": "240.0.0.0/4", "255.255.255.254": "240.0.0.0/4", "255.255.255.255": "240.0.0.0/4",

	"::": "this machine", "::1": "loopback",
	"::2": "2000::/3", "::127.0.0.1": "2000::/3", "::ffff:0:127.0.0.1": "2000::/3",
	"::ffff:127.0.0.1": "loopback", "::ffff:169.254.169.254": "link-local", "::ffff:10.0.0.1": "private",
	"::ffff:0.0.0.0": "this machine", "::ffff:168.63.129.16": "Azure",
	"64:ff9b::7f00:1": "NAT64", "64:ff9b::a9fe:a9fe": "NAT64", "64:ff9b:1::7f00:1": "2000::/3",
	"100::1": "2000::/3", "100:0:0:1::1": "2000::/3", "1fff:ffff::1": "2000::/3",
	"2001::": "2001::/23", "2001:0:7f00:1::1": "2001::/23", "2001:2::1": "2001::/23", "2001:3::1": "2001::/23",
	"2001:4:112::1": "2001::/23", "2001:10::1": "2001::/23", "2001:20::1": "2001::/23", "2001:30::1": "2001::/23",
	"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff": "2001::/23",
	"2001:db8::1":                            "2001:db8::/32", "2001:db8:ffff:ffff::1": "2001:db8::/32",
	"2002:7f00:1::": "2002::/16", "2002:a9fe:a9fe::1": "2002::/16",
	"2620:4f:8000::1": "2620:4f:8000::/48", "3fff::1": "3fff::/20", "3fff:fff:ffff::1": "3fff::/20",
	"2600:1f00::5efe:7f00:1": "ISATAP", "2600:1f00::200:5efe:a00:1": "ISATAP",
	"4000::1": "2000::/3", "5f00::1": "2000::/3", "8000::1": "2000::/3",
	"fc00::1": "private", "fd00:ec2::254": "private", "fd20:ce::254": "private",
	"fe80::1": "link-local", "febf::1": "link-local", "fec0::1": "2000::/3",
	"ff02::1": "multicast", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "multicast",
}

// publicAddrs are neighbours of the ranges above, and well-known servers.
var publicAddrs = []string{
	"1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34",
	"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"161.25.255.255", "161.27.0.0", "168.63.129.15", "168.63.129.17",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
	"191.255.255.255", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0",
	"198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
	"::ffff:93.184.216.34", "::ffff:8.8.8.8",
	"2000::", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1", "2003::1",
	"2606:4700:4700::1111", "2620:4f:7fff::1", "2620:4f:8001::1", "3ffe:ffff::1", "3fff:1000::1",
	"2600:1f00::5efd:7f00:1", "2600:1f00::400:5efe:7f00:1",
}

func TestGuardCheck(t *testing.T) {
	for name, g := range map[string]*webhook.Guard{"new": newGuard(t, webhook.GuardOptions{}), "zero": {}} {
		t.Run(name, func(t *testing.T) {
			for text, rule := range refusedAddrs {
				err := g.Check("", at(text))
				var refused *webhook.GuardError
				require.ErrorAs(t, err, &refused, text)
				require.Contains(t, refused.Rule, rule, text)
				require.Equal(t, netip.MustParseAddr(text).Unmap(), refused.Addr)
				require.EqualValues(t, 80, refused.Port)
				require.Equal(t, "Prefixes", refused.Option)
				require.ErrorContains(t, err, refused.Addr.String())
				require.ErrorContains(t, err, "GuardOptions.Prefixes")
			}
			for _, text := range publicAddrs {
				require.NoError(t, g.Check("", at(text)), text)
			}
		})
	}
}

// Each rule is that of the prefix which says it, and no prefix of the library goes
// without one.
func TestGuardNamesThePrefix(t *testing.T) {
	g := newGuard(t, webhook.GuardOptions{})
	for _, p := range slices.Concat(ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes) {
		var refused *webhook.GuardError
		require.ErrorAs(t, g.Check("", netip.AddrPortFrom(p.Addr().Next(), 443)), &refused)
		require.Regexp(t, "^"+regexp.QuoteMeta(p.String())+": .", refused.Rule)
	}
}

func TestGuardNeverOpens(t *testing.T) {
	g := newGuard(t, webhook.GuardOptions{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		Hosts:    []string{"any.test"},
	})
	for name, addr := range map[string]netip.Addr{
		"no address":            {},
		"link-local with zone":  netip.MustParseAddr("fe80::1%lo"),
		"loopback with zone":    netip.MustParseAddr("::1%lo"),
		"public with zone":      netip.MustParseAddr("2606:4700:4700::1111%lo"),
		"IPv4-mapped with zone": netip.MustParseAddr("::ffff:127.0.0.1%lo"),
	} {
		t.Run(name, func(t *testing.T) {
			var refused *webhook.GuardError
			require.ErrorAs(t, g.Check("any.test", netip.AddrPortFrom(addr, 80)), &refused)
			require.Empty(t, refused.Option)
			require.ErrorContains(t, refused, "no option allows it")
		})
	}
}

func TestAllowAll(t *testing.T) {
	g := webhook.AllowAll()
	for text := range refusedAddrs {
		require.NoError(t, g.Check("", at(text)), text)
	}
	require.NoError(t, g.Check("", at("fe80::1%lo")))
	require.NoError(t, g.Check("", netip.MustParseAddrPort("8.8.8.8:25")))
	require.Error(t, g.Check("", netip.AddrPort{}))
}

func TestGuardPrefixes(t *testing.T) {
	for name, c := range map[string]struct {
		prefix, opened, stillShut string
	}{
		"IPv4 range":               {"10.1.0.0/16", "10.1.2.3", "10.2.0.1"},
		"one IPv4 address":         {"127.0.0.1/32", "127.0.0.1", "127.0.0.2"},
		"for an IPv4-mapped one":   {"127.0.0.0/8", "::ffff:127.0.0.1", "::1"},
		"an IPv4-mapped range":     {"::ffff:127.0.0.0/104", "127.0.0.1", "10.0.0.1"},
		"all of IPv4":              {"0.0.0.0/0", "169.254.169.254", "fd00::1"},
		"IPv6 range":               {"fd00::/8", "fd00:ec2::254", "fc00::1"},
		"all of IPv6, not of IPv4": {"::/0", "::1", "127.0.0.1"},
		"NAT64, as for its IPv4":   {"::/0", "64:ff9b::5db8:d822", "64:ff9b::7f00:1"},
		"ISATAP":                   {"2600:1f00::/64", "2600:1f00::5efe:7f00:1", "2600:1f00:0:1::5efe:7f00:1"},
		"bits beyond the prefix":   {"10.1.2.3/8", "10.9.9.9", "172.16.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := opening(t, "192.168.7.0/24", c.prefix)
			require.NoError(t, g.Check("", at(c.opened)))
			require.Error(t, g.Check("", at(c.stillShut)))
			require.NoError(t, g.Check("", at("8.8.8.8")), "public ones stay allowed")
		})
	}
}

func TestGuardHosts(t *testing.T) {
	g := newGuard(t, webhook.GuardOptions{Hosts: []string{"Hooks.Internal.", "*.corp.example", "receiver", "10.0.0.1", "::ffff:10.0.0.2", "fd00::1"}})
	for name, c := range map[string]struct {
		host, addr string
		ok         bool
	}{
		"exact":                          {"hooks.internal", "10.9.9.9", true},
		"another case":                   {"HOOKS.internal", "127.0.0.1", true},
		"trailing dot":                   {"hooks.internal.", "::1", true},
		"one label":                      {"receiver", "169.254.169.254", true},
		"below":                          {"a.corp.example", "10.9.9.9", true},
		"further below":                  {"a.b.corp.example.", "10.9.9.9", true},
		"not below, but the name itself": {"corp.example", "10.9.9.9", false},
		"the end of a label":             {"evilcorp.example", "10.9.9.9", false},
		"below an exact one":             {"a.hooks.internal", "10.9.9.9", false},
		"as a label":                     {"hooks.internal.example", "10.9.9.9", false},
		"another, public":                {"example.com", "93.184.216.34", true},
		"none":                           {"", "10.9.9.9", false},
		"two trailing dots":              {"hooks.internal..", "10.9.9.9", false},
		"an asterisk in the host":        {"*.corp.example", "10.9.9.9", false},
		"IPv4 literal":                   {"10.0.0.1", "10.0.0.1", true},
		"IPv4 literal, mapped":           {"::ffff:10.0.0.1", "::ffff:10.0.0.1", true},
		"mapped literal in the list":     {"10.0.0.2", "10.0.0.2", true},
		"another IPv4 literal":           {"10.0.0.3", "10.0.0.3", false},
		"IPv6 literal, long":             {"fd00:0::0:1", "fd00::1", true},
		"another IPv6 literal":           {"fd00::2", "fd00::2", false},
		"IPv4 literal and dot":           {"10.0.0.1.", "10.0.0.1", false},
		"short form":                     {"10.1", "10.0.0.1", false},
		"number below":                   {"1.corp.example", "10.0.0.9", true},
		"Kelvin sign":                    {"hoo\u212as.internal", "10.9.9.9", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := g.Check(c.host, at(c.addr))
			require.Equal(t, c.ok, err == nil, "%v", err)
			require.Equal(t, err, hook(t, g, c.host, "80", c.addr)[c.addr], "the same when it is dialed")
		})
	}
}

func TestGuardPorts(t *testing.T) {
	few := newGuard(t, webhook.GuardOptions{
		Ports:    []uint16{443, 25},
		Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Hosts:    []string{"hooks.test"},
	})
	for name, c := range map[string]struct {
		guard *webhook.Guard
		port  uint16
		ok    bool
	}{
		"http":               {&webhook.Guard{}, 80, true},
		"https":              {&webhook.Guard{}, 443, true},
		"lowest of the high": {&webhook.Guard{}, 1024, true},
		"8443":               {&webhook.Guard{}, 8443, true},
		"highest":            {&webhook.Guard{}, 65535, true},
		"SSH":                {&webhook.Guard{}, 22, false},
		"SMTP":               {&webhook.Guard{}, 25, false},
		"0":                  {&webhook.Guard{}, 0, false},
		"1023":               {&webhook.Guard{}, 1023, false},
		"on the list":        {few, 443, true},
		"low, on the list":   {few, 25, true},
		"not on the list":    {few, 80, false},
		"high, not on it":    {few, 8443, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, addr := range []string{"93.184.216.34", "127.0.0.1"} {
				if addr == "127.0.0.1" && c.guard != few {
					continue
				}
				err := c.guard.Check("hooks.test", netip.AddrPortFrom(netip.MustParseAddr(addr), c.port))
				if c.ok {
					require.NoError(t, err)
					continue
				}
				var refused *webhook.GuardError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, c.port, refused.Port)
				require.Equal(t, "Ports", refused.Option)
				require.ErrorContains(t, err, "GuardOptions.Ports")
			}
		})
	}
}

// The addresses of RFC 6052, section 2.4, and the same for 127.0.0.1.
func TestGuardNAT64(t *testing.T) {
	for name, c := range map[string]struct{ prefix, public, loopback string }{
		"/32":               {"2a00:db8::/32", "2a00:db8:5db8:d822::", "2a00:db8:7f00:1::"},
		"/40":               {"2a00:db8:100::/40", "2a00:db8:15d:b8d8:22::", "2a00:db8:17f:0:1::"},
		"/48":               {"2a00:db8:122::/48", "2a00:db8:122:5db8:d8:2200::", "2a00:db8:122:7f00:0:100::"},
		"/56":               {"2a00:db8:122:300::/56", "2a00:db8:122:35d:b8:d822::", "2a00:db8:122:37f:0:1::"},
		"/64":               {"2a00:db8:122:344::/64", "2a00:db8:122:344:5d:b8d8:2200::", "2a00:db8:122:344:7f:0:100::"},
		"/96":               {"2a00:db8:122:344::/96", "2a00:db8:122:344::93.184.216.34", "2a00:db8:122:344::127.0.0.1"},
		"octet 64 is not 0": {"2a00:db8:122::/48", "2a00:db8:122:5db8:ffd8:2200::", "2a00:db8:122:7f00:ff00:100::"},
		"a suffix":          {"2a00:db8::/32", "2a00:db8:5db8:d822::1", "2a00:db8:7f00:1::1"},
		"bits beyond":       {"2a00:db8::1/32", "2a00:db8:5db8:d822::", "2a00:db8:7f00:1::"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, (&webhook.Guard{}).Check("", at(c.loopback)), "nobody can know")
			prefix := netip.MustParsePrefix(c.prefix)
			g := newGuard(t, webhook.GuardOptions{NAT64: []netip.Prefix{prefix}, Own: []netip.AddrPort{netip.MustParseAddrPort("93.184.216.34:8470")}})
			require.NoError(t, g.Check("", at(c.public)))
			var refused *webhook.GuardError
			require.ErrorAs(t, g.Check("", at(c.loopback)), &refused)
			require.Contains(t, refused.Rule, "127.0.0.1 (NAT64, RFC 6052), in 127.0.0.0/8")
			require.Equal(t, "Prefixes", refused.Option)
			require.ErrorAs(t, g.Check("", netip.AddrPortFrom(netip.MustParseAddr(c.public), 8470)), &refused)
			require.Contains(t, refused.Rule, "listens")

			opened := newGuard(t, webhook.GuardOptions{NAT64: []netip.Prefix{prefix}, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			require.NoError(t, opened.Check("", at(c.loopback)))
		})
	}
	t.Run("opens nothing", func(t *testing.T) {
		g := newGuard(t, webhook.GuardOptions{NAT64: []netip.Prefix{netip.MustParsePrefix("64:ff9b:1::/96")}})
		require.Error(t, g.Check("", at("64:ff9b:1::93.184.216.34")))
	})
	t.Run("overlapping", func(t *testing.T) {
		g := newGuard(t, webhook.GuardOptions{NAT64: []netip.Prefix{netip.MustParsePrefix("2a00:db8::/96"), netip.MustParsePrefix("2a00:db8::/32")}})
		require.Error(t, g.Check("", at("2a00:db8::93.184.216.34")), "0.0.0.0 by the other")
		require.NoError(t, g.Check("", at("2a00:db8:5db8:d822::")), "not in the one")
	})
}

func TestGuardOwn(t *testing.T) {
	open := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		own, dialed string
		ok          bool
	}{
		"itself":                    {"127.0.0.1:8470", "127.0.0.1:8470", false},
		"mapped":                    {"127.0.0.1:8470", "[::ffff:127.0.0.1]:8470", false},
		"mapped in the list":        {"[::ffff:127.0.0.1]:8470", "127.0.0.1:8470", false},
		"another port":              {"127.0.0.1:8470", "127.0.0.1:8471", true},
		"another address":           {"127.0.0.1:8470", "127.0.0.2:8470", true},
		"unspecified is dialed":     {"127.0.0.1:8470", "0.0.0.0:8470", false},
		"so in IPv6":                {"[::1]:8470", "[::]:8470", false},
		"public":                    {"93.184.216.34:443", "93.184.216.34:443", false},
		"with a zone":               {"[fe80::1%lo]:8470", "[fe80::1]:8470", false},
		"by the well-known NAT64":   {"127.0.0.1:8470", "[64:ff9b::7f00:1]:8470", false},
		"everywhere: loopback":      {"0.0.0.0:8470", "127.9.9.9:8470", false},
		"everywhere: IPv6 loopback": {"[::]:8470", "[::1]:8470", false},
		"everywhere: IPv4 too":      {"[::]:8470", "127.0.0.1:8470", false},
		"everywhere: another port":  {"[::]:8470", "127.0.0.1:8471", true},
		"everywhere: not elsewhere": {"[::]:8470", "93.184.216.34:8470", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, webhook.GuardOptions{Prefixes: open, Hosts: []string{"self.test"}, Own: []netip.AddrPort{netip.MustParseAddrPort(c.own)}})
			addr := netip.MustParseAddrPort(c.dialed)
			for _, host := range []string{"self.test", ""} {
				err := g.Check(host, addr)
				if c.ok {
					require.NoError(t, err)
					continue
				}
				var refused *webhook.GuardError
				require.ErrorAs(t, err, &refused)
				require.Contains(t, refused.Rule, "listens")
				require.Empty(t, refused.Option)
			}
			require.Equal(t, c.ok, g.CheckURL("http://"+c.dialed+"/") == nil)
		})
	}
	t.Run("is not told of a private address", func(t *testing.T) {
		g := newGuard(t, webhook.GuardOptions{Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8470")}})
		var refused *webhook.GuardError
		require.ErrorAs(t, g.Check("", netip.MustParseAddrPort("127.0.0.1:8470")), &refused)
		require.Equal(t, "127.0.0.0/8: loopback", refused.Rule)
	})
	t.Run("everywhere: every interface", func(t *testing.T) {
		g := newGuard(t, webhook.GuardOptions{Prefixes: open, Own: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8470")}})
		for _, a := range all {
			p, err := netip.ParsePrefix(a.String())
			require.NoError(t, err)
			require.Error(t, g.Check("", netip.AddrPortFrom(p.Addr(), 8470)), a)
		}
	})
}

func TestNewGuardErrors(t *testing.T) {
	prefix, v4 := netip.MustParsePrefix, netip.MustParseAddr("127.0.0.1")
	for name, c := range map[string]struct {
		o    webhook.GuardOptions
		want string
	}{
		"no prefix":           {webhook.GuardOptions{Prefixes: []netip.Prefix{{}}}, "Prefixes"},
		"empty host":          {webhook.GuardOptions{Hosts: []string{"a", ""}}, `Hosts has ""`},
		"every host":          {webhook.GuardOptions{Hosts: []string{"*"}}, `Hosts has "*"`},
		"below nothing":       {webhook.GuardOptions{Hosts: []string{"*."}}, "Hosts"},
		"asterisk inside":     {webhook.GuardOptions{Hosts: []string{"a.*.example"}}, "Hosts"},
		"asterisk in a label": {webhook.GuardOptions{Hosts: []string{"a*.example"}}, "Hosts"},
		"two asterisks":       {webhook.GuardOptions{Hosts: []string{"*.*.example"}}, "Hosts"},
		"host and port":       {webhook.GuardOptions{Hosts: []string{"example.com:443"}}, "Hosts"},
		"URL":                 {webhook.GuardOptions{Hosts: []string{"https://example.com"}}, "Hosts"},
		"Kelvin sign":         {webhook.GuardOptions{Hosts: []string{"\u212a.example"}}, "Hosts"},
		"not ASCII":           {webhook.GuardOptions{Hosts: []string{"b\u00fccher.example"}}, "Hosts"},
		"range":               {webhook.GuardOptions{Hosts: []string{"10.0.0.0/8"}}, "Hosts"},
		"short IPv4":          {webhook.GuardOptions{Hosts: []string{"127.1"}}, "Hosts"},
		"below a number":      {webhook.GuardOptions{Hosts: []string{"*.0.0.1"}}, "Hosts"},
		"zone":                {webhook.GuardOptions{Hosts: []string{"fe80::1%lo"}}, "Hosts"},
		"long name":           {webhook.GuardOptions{Hosts: []string{strings.Repeat("a.", 127) + "a"}}, "Hosts"},
		"port 0":              {webhook.GuardOptions{Ports: []uint16{443, 0}}, "Ports"},
		"NAT64 of 33 bits":    {webhook.GuardOptions{NAT64: []netip.Prefix{prefix("64:ff9b::/33")}}, "NAT64 has 64:ff9b::/33"},
		"NAT64 of 0 bits":     {webhook.GuardOptions{NAT64: []netip.Prefix{prefix("::/0")}}, "NAT64"},
		"NAT64 of 128 bits":   {webhook.GuardOptions{NAT64: []netip.Prefix{prefix("64:ff9b::/128")}}, "NAT64"},
		"NAT64 in IPv4":       {webhook.GuardOptions{NAT64: []netip.Prefix{prefix("10.0.0.0/32")}}, "NAT64"},
		"NAT64, mapped":       {webhook.GuardOptions{NAT64: []netip.Prefix{prefix("::ffff:0.0.0.0/96")}}, "NAT64"},
		"no NAT64 prefix":     {webhook.GuardOptions{NAT64: []netip.Prefix{{}}}, "NAT64"},
		"own without port":    {webhook.GuardOptions{Own: []netip.AddrPort{netip.AddrPortFrom(v4, 0)}}, "Own has 127.0.0.1:0"},
		"own without address": {webhook.GuardOptions{Own: []netip.AddrPort{{}}}, "Own"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.NewGuard(&c.o)
			require.ErrorContains(t, err, "webhook: GuardOptions."+c.want)
		})
	}
}

func TestGuardKeepsItsOwnLists(t *testing.T) {
	o := webhook.GuardOptions{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")},
		Ports:    []uint16{80},
	}
	g := newGuard(t, o)
	o.Prefixes[0], o.Ports[0] = netip.MustParsePrefix("127.0.0.0/8"), 25
	require.Error(t, g.Check("", at("127.0.0.1")))
	require.NoError(t, g.Check("", at("8.8.8.8")))
}

// The check is made for every connection, so it has to cost nothing beside one.
func BenchmarkGuardCheck(b *testing.B) {
	g := opening(b, "10.0.0.0/8", "fd00::/8")
	for _, text := range []string{"93.184.216.34", "2606:4700:4700::1111", "127.0.0.1"} {
		b.Run(text, func(b *testing.B) {
			addr := at(text)
			for b.Loop() {
				_ = g.Check("example.com", addr)
			}
		})
	}
}
