package webhook_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// refusedAddrs are addresses that only an allow-list opens, each with a word
// of the rule that refuses it.
var refusedAddrs = map[string]string{
	"0.0.0.0": "this network", "0.1.2.3": "this network", "0.255.255.255": "this network",
	"10.0.0.0": "private", "10.0.0.1": "private", "10.255.255.255": "private",
	"100.64.0.0": "shared", "100.64.0.1": "shared", "100.127.255.255": "shared",
	"100.100.100.200": "shared", // metadata of Alibaba
	"127.0.0.0":       "loopback", "127.0.0.1": "loopback", "127.255.255.255": "loopback",
	"161.26.0.0": "IBM", "161.26.0.10": "IBM", "161.26.255.255": "IBM",
	"168.63.129.16":   "Azure",
	"169.254.0.0":     "link-local",
	"169.254.169.254": "link-local", // metadata of AWS, Google and Azure
	"169.254.170.2":   "link-local", // metadata of ECS
	"169.254.255.255": "link-local",
	"172.16.0.0":      "private", "172.16.0.1": "private", "172.31.255.255": "private",
	"192.0.0.0": "protocol", "192.0.0.9": "protocol", "192.0.0.255": "protocol",
	"192.0.0.192": "protocol", // metadata of Oracle
	"192.0.2.1":   "documentation", "192.0.2.255": "documentation",
	"192.31.196.1": "AS112", "192.52.193.1": "AMT", "192.88.99.1": "6to4", "192.175.48.1": "AS112",
	"192.168.0.0": "private", "192.168.1.1": "private", "192.168.255.255": "private",
	"198.18.0.0": "benchmarking", "198.19.255.255": "benchmarking",
	"198.51.100.1": "documentation", "203.0.113.1": "documentation",
	"224.0.0.0": "multicast", "239.255.255.255": "multicast",
	"240.0.0.0": "reserved", "255.255.255.254": "reserved", "255.255.255.255": "reserved",

	"::": "unspecified", "::1": "loopback",
	"::2": "2000::/3", "::127.0.0.1": "2000::/3", "::ffff:0:127.0.0.1": "2000::/3",
	"::ffff:127.0.0.1": "loopback", "::ffff:169.254.169.254": "link-local", "::ffff:10.0.0.1": "private",
	"::ffff:0.0.0.0": "this network", "::ffff:168.63.129.16": "Azure",
	"64:ff9b::7f00:1": "NAT64", "64:ff9b::a9fe:a9fe": "NAT64", "64:ff9b:1::7f00:1": "NAT64",
	"100::1": "2000::/3", "100:0:0:1::1": "2000::/3", "1fff:ffff::1": "2000::/3",
	"2001::": "protocol", "2001:0:7f00:1::1": "protocol", "2001:2::1": "protocol", "2001:3::1": "protocol",
	"2001:4:112::1": "protocol", "2001:10::1": "protocol", "2001:20::1": "protocol", "2001:30::1": "protocol",
	"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff": "protocol",
	"2001:db8::1":                            "documentation", "2001:db8:ffff:ffff::1": "documentation",
	"2002:7f00:1::": "6to4", "2002:a9fe:a9fe::1": "6to4",
	"2620:4f:8000::1": "AS112", "3fff::1": "documentation", "3fff:fff:ffff::1": "documentation",
	"2600:1f00::5efe:7f00:1": "ISATAP", "2600:1f00::200:5efe:a00:1": "ISATAP",
	"4000::1": "2000::/3", "5f00::1": "2000::/3", "8000::1": "2000::/3",
	"fc00::1": "unique local", "fd00:ec2::254": "unique local", "fd20:ce::254": "unique local",
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
	for name, g := range map[string]*webhook.Guard{"new": webhook.NewGuard(), "zero": {}} {
		t.Run(name, func(t *testing.T) {
			for text, rule := range refusedAddrs {
				err := g.Check(netip.MustParseAddr(text))
				var refused *webhook.GuardError
				require.ErrorAs(t, err, &refused, text)
				require.Contains(t, refused.Rule, rule, text)
				require.Equal(t, netip.MustParseAddr(text).Unmap(), refused.Addr)
				require.ErrorContains(t, err, refused.Addr.String())
				require.ErrorContains(t, err, "allow-list")
			}
			for _, text := range publicAddrs {
				require.NoError(t, g.Check(netip.MustParseAddr(text)), text)
			}
		})
	}
}

func TestGuardCheckNeverOpens(t *testing.T) {
	g := webhook.NewGuard(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	for name, addr := range map[string]netip.Addr{
		"no address":            {},
		"link-local with zone":  netip.MustParseAddr("fe80::1%lo"),
		"loopback with zone":    netip.MustParseAddr("::1%lo"),
		"public with zone":      netip.MustParseAddr("2606:4700:4700::1111%lo"),
		"IPv4-mapped with zone": netip.MustParseAddr("::ffff:127.0.0.1%lo"),
	} {
		t.Run(name, func(t *testing.T) {
			err := g.Check(addr)
			var refused *webhook.GuardError
			require.ErrorAs(t, err, &refused)
			require.NotContains(t, err.Error(), "allow-list")
		})
	}
}

func TestGuardAllowList(t *testing.T) {
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
		"bits beyond the prefix":   {"10.1.2.3/8", "10.9.9.9", "172.16.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := webhook.NewGuard(netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix(c.prefix))
			require.NoError(t, g.Check(netip.MustParseAddr(c.opened)))
			require.Error(t, g.Check(netip.MustParseAddr(c.stillShut)))
			require.NoError(t, g.Check(netip.MustParseAddr("8.8.8.8")), "public ones stay allowed")
		})
	}
	g := webhook.NewGuard(netip.Prefix{})
	require.Error(t, g.Check(netip.MustParseAddr("127.0.0.1")))
}

func TestGuardKeepsItsOwnList(t *testing.T) {
	list := []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	g := webhook.NewGuard(list...)
	list[0] = netip.MustParsePrefix("127.0.0.0/8")
	require.Error(t, g.Check(netip.MustParseAddr("127.0.0.1")))
}

func TestAllowAll(t *testing.T) {
	g := webhook.AllowAll()
	for text := range refusedAddrs {
		require.NoError(t, g.Check(netip.MustParseAddr(text)), text)
	}
	require.NoError(t, g.Check(netip.MustParseAddr("fe80::1%lo")))
	require.Error(t, g.Check(netip.Addr{}))
}

// network stands in for all but the kernel: names resolve to what the test
// says, and a connection that the guard lets pass is written down, not made.
type network struct {
	names map[string][]string // the answer to each lookup of a name, the last one for good

	mu     sync.Mutex
	dialed []string
}

var errNotDialed = errors.New("the guard let it pass; not dialed")

func (n *network) dialer(g *webhook.Guard) *net.Dialer {
	return &net.Dialer{
		Resolver: &net.Resolver{PreferGo: true, Dial: n.serveDNS},
		ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
			if err := g.Control(ctx, network, address, c); err != nil {
				return err
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			n.dialed = append(n.dialed, address)
			return errNotDialed
		},
	}
}

// serveDNS answers queries on a stream in memory (RFC 1035, section 4.2.2).
func (n *network) serveDNS(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for {
			var size uint16
			if binary.Read(server, binary.BigEndian, &size) != nil {
				return
			}
			query := make([]byte, size)
			if _, err := io.ReadFull(server, query); err != nil {
				return
			}
			answer := n.answer(query)
			if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
				return
			}
		}
	}()
	return client, nil
}

func (n *network) answer(query []byte) []byte {
	question := query[12:]
	var labels []string
	i := 0
	for ; question[i] != 0; i += 1 + int(question[i]) {
		labels = append(labels, string(question[i+1:i+1+int(question[i])]))
	}
	question = question[:i+5]
	kind := binary.BigEndian.Uint16(question[i+1:])

	addrs, known := n.lookup(strings.Join(labels, "."), kind)
	out := append([]byte(nil), query[:2]...)
	if known {
		out = append(out, 0x81, 0x80)
	} else {
		out = append(out, 0x81, 0x83) // no such name
	}
	out = binary.BigEndian.AppendUint16(out, 1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(addrs)))
	out = append(out, 0, 0, 0, 0)
	out = append(out, question...)
	for _, a := range addrs {
		out = append(out, 0xc0, 12)
		out = binary.BigEndian.AppendUint16(out, kind)
		out = append(out, 0, 1, 0, 0, 0, 0)
		out = binary.BigEndian.AppendUint16(out, uint16(len(a.AsSlice())))
		out = append(out, a.AsSlice()...)
	}
	return out
}

func (n *network) lookup(name string, kind uint16) (addrs []netip.Addr, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers, known := n.names[name]
	if !known {
		return nil, false
	}
	for text := range strings.FieldsSeq(answers[0]) {
		if a := netip.MustParseAddr(text); a.Is4() == (kind == 1) {
			addrs = append(addrs, a)
		}
	}
	if len(answers) > 1 && len(addrs) > 0 {
		n.names[name] = answers[1:]
	}
	return addrs, true
}

func (n *network) sender(t *testing.T, g *webhook.Guard) *webhook.Sender {
	t.Helper()
	s := newSender(t, webhook.SenderOptions{Guard: g, Timeout: 10 * time.Second})
	s.SetDialer(n.dialer(g))
	return s
}

// haveIPv6 reports whether the kernel makes IPv6 sockets; if it does not, an
// attempt ends before the guard is asked.
func haveIPv6() bool {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		return false
	}
	return syscall.Close(fd) == nil
}

func TestGuardLiteralsAtDial(t *testing.T) {
	ipv6 := haveIPv6()
	for text := range refusedAddrs {
		var n network
		host := url.URL{Scheme: "http", Host: net.JoinHostPort(text, "80")}
		out := n.sender(t, webhook.NewGuard()).Send(t.Context(), message(host.String()))
		require.Empty(t, n.dialed, text)
		require.Equal(t, webhook.Retry, out.Result)
		if netip.MustParseAddr(text).Unmap().Is4() || ipv6 {
			var refused *webhook.GuardError
			require.ErrorAs(t, out.Err, &refused, text)
		}
	}
}

func TestGuardPortsAreFree(t *testing.T) {
	for _, port := range []string{"22", "80", "443", "8443"} {
		var n network
		out := n.sender(t, webhook.NewGuard()).Send(t.Context(), message("http://93.184.216.34:"+port+"/"))
		require.ErrorIs(t, out.Err, errNotDialed)
		require.Equal(t, []string{"93.184.216.34:" + port}, n.dialed)
	}
}

func TestGuardNamesAtDial(t *testing.T) {
	ipv6 := haveIPv6()
	for name, answer := range map[string]string{
		"loopback.test":  "127.0.0.1",
		"metadata.test":  "169.254.169.254",
		"zero.test":      "0.0.0.0",
		"wire.test":      "168.63.129.16",
		"dotted.test.":   "10.0.0.1",
		"mapped.test":    "::ffff:127.0.0.1",
		"nat64.test":     "64:ff9b::7f00:1",
		"sixtofour.test": "2002:7f00:1::",
		"unique.test":    "fd00:ec2::254",
	} {
		t.Run(name, func(t *testing.T) {
			n := network{names: map[string][]string{strings.TrimSuffix(name, "."): {answer}}}
			g := webhook.NewGuard()
			raw := "http://" + name + "/"
			require.NoError(t, g.CheckURL(raw), "names are not looked up when a URL is handed in")
			out := n.sender(t, g).Send(t.Context(), message(raw))
			require.Empty(t, n.dialed)
			if netip.MustParseAddr(answer).Unmap().Is4() || ipv6 {
				var refused *webhook.GuardError
				require.ErrorAs(t, out.Err, &refused)
			}
		})
	}
}

// What a name resolves to counts when it is dialed, not when it was checked.
func TestGuardRebinding(t *testing.T) {
	n := network{names: map[string][]string{"rebind.test": {"93.184.216.34", "127.0.0.1"}}}
	g := webhook.NewGuard()
	s := n.sender(t, g)
	require.NoError(t, g.CheckURL("http://rebind.test/"))
	require.ErrorIs(t, s.Send(t.Context(), message("http://rebind.test/")).Err, errNotDialed)
	var refused *webhook.GuardError
	require.ErrorAs(t, s.Send(t.Context(), message("http://rebind.test/")).Err, &refused)
	require.Equal(t, []string{"93.184.216.34:80"}, n.dialed)
}

// Of the addresses of a name, those that are allowed are used. All are
// loopback here, since the resolver connects (sending nothing) to sort them.
func TestGuardMixedAnswer(t *testing.T) {
	n := network{names: map[string][]string{"mixed.test": {"127.0.0.2 127.0.0.1 127.0.0.3"}}}
	out := n.sender(t, webhook.NewGuard(netip.MustParsePrefix("127.0.0.1/32"))).Send(t.Context(), message("http://mixed.test/"))
	require.Error(t, out.Err)
	require.Equal(t, []string{"127.0.0.1:80"}, n.dialed)
}

func TestGuardOpensLoopback(t *testing.T) {
	r := listen(t, status(http.StatusOK))
	for name, c := range map[string]struct {
		guard *webhook.Guard
		want  webhook.Result
	}{
		"default":        {webhook.NewGuard(), webhook.Retry},
		"another range":  {webhook.NewGuard(netip.MustParsePrefix("127.0.0.2/32")), webhook.Retry},
		"loopback":       {loopback(), webhook.Delivered},
		"everything":     {webhook.AllowAll(), webhook.Delivered},
		"zero Guard":     {&webhook.Guard{}, webhook.Retry},
		"IPv4 in IPv6":   {webhook.NewGuard(netip.MustParsePrefix("::ffff:127.0.0.1/128")), webhook.Delivered},
		"all of IPv6":    {webhook.NewGuard(netip.MustParsePrefix("::/0")), webhook.Retry},
		"invalid prefix": {webhook.NewGuard(netip.Prefix{}), webhook.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			out := newSender(t, webhook.SenderOptions{Guard: c.guard}).Send(t.Context(), message(r.URL))
			require.Equal(t, c.want, out.Result)
		})
	}
	require.Len(t, r.requests(), 3)
}
