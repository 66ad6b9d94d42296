package webhook_test

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

func TestCheckURLAccepts(t *testing.T) {
	g := newGuard(t, webhook.GuardOptions{})
	for name, raw := range map[string]string{
		"https":                  "https://example.com/hook",
		"http":                   "http://example.com/hook",
		"upper case":             "HTTPS://EXAMPLE.COM/Hook",
		"no path":                "https://example.com",
		"query":                  "https://example.com/hook?a=b&c=%20d",
		"empty query":            "https://example.com/?",
		"port":                   "https://example.com:8443/hook",
		"lowest port":            "http://example.com:1024/",
		"highest port":           "http://example.com:65535/",
		"trailing dot":           "https://example.com./",
		"one label":              "http://receiver/hook",
		"underscore":             "http://my_service:8080/",
		"xn--":                   "https://xn--bcher-kva.example/",
		"digits first":           "https://1and1.example/",
		"label that looks hex":   "https://0x7f.example/",
		"number in the midst":    "https://127.0.0.1.example/",
		"localhost in the midst": "https://localhost.example/",
		"ends like localhost":    "https://notlocalhost/",
		"public IPv4":            "http://93.184.216.34/",
		"public IPv4 and port":   "http://93.184.216.34:8080/",
		"public IPv6":            "http://[2606:4700:4700::1111]/",
		"public IPv6 and port":   "http://[2606:4700:4700::1111]:8080/",
		"public IPv4 in IPv6":    "http://[::ffff:93.184.216.34]/",
		"at sign in the path":    "https://example.com/@me",
		"Unicode in the path":    "https://example.com/é",
		"escaped in the path":    "https://example.com/%00%0a",
		"2,048 bytes":            "https://example.com/" + strings.Repeat("a", 2028),
		"253 bytes of host":      "https://" + strings.Repeat("a.", 126) + "a/",
	} {
		t.Run(name, func(t *testing.T) { require.NoError(t, g.CheckURL(raw)) })
	}
}

// refusedURLs are refused when they are handed in, and if they were sent all
// the same, no guarded Sender would dial anything for them.
var refusedURLs = map[string]struct{ raw, why string }{
	"empty":                    {"", "scheme"},
	"no scheme":                {"example.com/hook", "scheme"},
	"scheme from the page":     {"//example.com/hook", "scheme"},
	"ftp":                      {"ftp://example.com/", "scheme"},
	"file":                     {"file:///etc/passwd", "scheme"},
	"gopher":                   {"gopher://127.0.0.1:6379/_x", "scheme"},
	"unix":                     {"unix:///run/docker.sock", "scheme"},
	"javascript":               {"javascript:alert(1)", "scheme"},
	"no host":                  {"http:///hook", "no host"},
	"opaque":                   {"http:example.com", "no host"},
	"port only":                {"http://:80/", "no host"},
	"dot":                      {"http://./", "not a host name"},
	"two dots":                 {"http://a..b/", "not a host name"},
	"leading dot":              {"http://.a/", "not a host name"},
	"two trailing dots":        {"http://127.0.0.1../", "not a host name"},
	"long name":                {"https://" + strings.Repeat("a.", 127) + "a/", "not a host name"},
	"port 0":                   {"http://8.8.8.8:0/", "port"},
	"port 65536":               {"http://8.8.8.8:65536/", "port"},
	"port 99999":               {"http://127.0.0.1:99999/", "port"},
	"empty port":               {"http://127.0.0.1:/", "port"},
	"SSH":                      {"http://8.8.8.8:22/", "port 22"},
	"SMTP":                     {"http://8.8.8.8:25/", "port 25"},
	"SMTP of a name":           {"http://example.com:25/", "port 25"},
	"highest of the low ports": {"http://8.8.8.8:1023/", "port 1023"},
	"port not a number":        {"http://127.0.0.1:http/", "parsed"},
	"user":                     {"http://user@127.0.0.1/", "user name"},
	"user and password":        {"http://user:topsecret@127.0.0.1/", "user name"},
	"empty user":               {"http://@127.0.0.1/", "user name"},
	"host in the user":         {"http://127.0.0.1%2f@127.0.0.1/", "user name"},
	"fragment":                 {"http://127.0.0.1/#x", "fragment"},
	"empty fragment":           {"http://127.0.0.1/#", "fragment"},
	"fragment hides the host":  {"http://127.0.0.1#@example.com/", "fragment"},
	"query after the host":     {"http://127.0.0.1?@example.com/", "loopback"},
	"backslash":                {`http://127.0.0.1\@example.com/`, "parsed"},
	"escaped digits":           {"http://%31%32%37.0.0.1/", "parsed"},
	"line break":               {"http://127.0.0.1/\r\nX: y", "control character"},
	"NUL":                      {"http://127.0.0.1/\x00", "control character"},
	"DEL":                      {"http://127.0.0.1/\x7f", "control character"},
	"C1 control":               {"http://127.0.0.1/\u0085", "control character"},
	"space":                    {"http://127.0.0.1/a b", "space"},
	"space before":             {" http://127.0.0.1/", "space"},
	"line separator":           {"http://127.0.0.1/\u2028", "space"},
	"not UTF-8":                {"http://127.0.0.1/\xff", "UTF-8"},
	"2,049 bytes":              {"http://127.0.0.1/" + strings.Repeat("a", 2032), "2048"},
	"localhost":                {"http://localhost/", "loopback"},
	"LOCALHOST":                {"http://LOCALHOST/", "loopback"},
	"localhost.":               {"http://localhost./", "loopback"},
	"below localhost":          {"http://foo.localhost/", "loopback"},
	"below localhost.":         {"http://foo.LocalHost.:8080/", "loopback"},
	"circled localhost":        {"http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "xn--"},
	"circled, escaped":         {"http://%e2%93%9bocalhost/", "xn--"},
	"circled digits":           {"http://①②⑦.⓪.⓪.①/", "xn--"},
	"ideographic dots":         {"http://127。0。0。1/", "xn--"},
	"Kelvin sign":              {"http://\u212A.localhost/", "xn--"},
	"other characters":         {"http://127.0.0.1;a/", "not a host name"},
	"loopback":                 {"http://127.0.0.1/", "loopback"},
	"loopback and port":        {"http://127.0.0.1:8080/", "loopback"},
	"metadata":                 {"http://169.254.169.254/latest/meta-data/", "link-local"},
	"this network":             {"http://0.0.0.0/", "this machine"},
	"127.1":                    {"http://127.1/", "usual form"},
	"127.0.1":                  {"http://127.0.1/", "usual form"},
	"one number":               {"http://2130706433/", "usual form"},
	"one number, private":      {"http://2852039166/", "usual form"},
	"zero":                     {"http://0/", "usual form"},
	"one hex number":           {"http://0x7f000001/", "usual form"},
	"upper-case hex":           {"http://0X7F000001/", "usual form"},
	"bare 0x":                  {"http://0x/", "usual form"},
	"hex and decimal":          {"http://0x7f.1/", "usual form"},
	"decimal and hex":          {"http://127.0x1/", "usual form"},
	"hex quad":                 {"http://0x7f.0.0.1/", "usual form"},
	"octal quad":               {"http://0177.0.0.1/", "usual form"},
	"one octal number":         {"http://017700000001/", "usual form"},
	"leading zeros":            {"http://127.000.000.001/", "usual form"},
	"octal or decimal":         {"http://010.8.8.8/", "usual form"},
	"trailing dot":             {"http://127.0.0.1./", "usual form"},
	"number and trailing dot":  {"http://2130706433./", "usual form"},
	"five parts":               {"http://127.0.0.0.1/", "usual form"},
	"part above 255":           {"http://127.0.0.256/", "usual form"},
	"name that ends in digits": {"http://example.1/", "usual form"},
	"IPv6 without brackets":    {"http://::1/", "parsed"},
	"IPv6 loopback":            {"http://[::1]/", "loopback"},
	"IPv6 loopback, long":      {"http://[0:0:0:0:0:0:0:1]:80/", "loopback"},
	"IPv6 unspecified":         {"http://[::]/", "this machine"},
	"mapped":                   {"http://[::ffff:127.0.0.1]/", "loopback"},
	"mapped, hex":              {"http://[::ffff:7f00:1]/", "loopback"},
	"mapped metadata":          {"http://[::ffff:169.254.169.254]/", "link-local"},
	"compatible":               {"http://[::127.0.0.1]/", "2000::/3"},
	"translated":               {"http://[::ffff:0:127.0.0.1]/", "2000::/3"},
	"NAT64":                    {"http://[64:ff9b::7f00:1]/", "NAT64"},
	"6to4":                     {"http://[2002:7f00:1::]/", "2002::/16"},
	"Teredo":                   {"http://[2001:0:7f00:1::]/", "2001::/23"},
	"zone":                     {"http://[fe80::1%25lo]/", "zone"},
	"zone on loopback":         {"http://[::1%25lo]/", "zone"},
	"zone on mapped":           {"http://[::ffff:127.0.0.1%25lo]/", "zone"},
	"IPv4 in brackets":         {"http://[127.0.0.1]/", "parsed"},
	"name in brackets":         {"http://[localhost]/", "parsed"},
	"open bracket":             {"http://[::1/", "parsed"},
}

func TestCheckURLRefuses(t *testing.T) {
	g := newGuard(t, webhook.GuardOptions{})
	for name, c := range refusedURLs {
		t.Run(name, func(t *testing.T) {
			err := g.CheckURL(c.raw)
			require.ErrorContains(t, err, "webhook: ")
			require.ErrorContains(t, err, c.why)
			require.NotContains(t, err.Error(), "topsecret")

			n := network{names: map[string][]string{
				"foo.localhost": {"127.0.0.1"}, "k.localhost": {"127.0.0.1"},
				"a": {"127.0.0.1"}, "example.com": {"127.0.0.1"}, "example.1": {"127.0.0.1"},
			}}
			out := n.sender(t, g).Send(t.Context(), message(c.raw))
			require.NotEqual(t, webhook.Delivered, out.Result)
			if !strings.Contains(c.raw, "8.8.8.8") {
				require.Empty(t, n.dialed)
			}
		})
	}
}

func TestCheckURLNamesAddressAndRule(t *testing.T) {
	for raw, addr := range map[string]string{
		"http://10.1.2.3/":          "10.1.2.3",
		"http://[::ffff:10.1.2.3]/": "10.1.2.3",
		"http://[fd00::1]/":         "fd00::1",
		"http://localhost/":         "127.0.0.1",
	} {
		err := newGuard(t, webhook.GuardOptions{}).CheckURL(raw)
		var refused *webhook.GuardError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, netip.MustParseAddr(addr), refused.Addr)
		require.ErrorContains(t, err, refused.Rule)
		require.ErrorContains(t, err, "GuardOptions.Prefixes")
	}
}

func TestCheckURLOptions(t *testing.T) {
	const v4, v6 = "127.0.0.0/8", "::1/128"
	hosts := newGuard(t, webhook.GuardOptions{Hosts: []string{"hooks.internal", "localhost", "*.localhost", "10.0.0.1", "::1"}})
	ports := newGuard(t, webhook.GuardOptions{Ports: []uint16{443, 25}})
	own := newGuard(t, webhook.GuardOptions{
		Hosts: []string{"localhost"}, Prefixes: []netip.Prefix{netip.MustParsePrefix(v4)},
		Own: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8470")},
	})
	for name, c := range map[string]struct {
		guard *webhook.Guard
		raw   string
		ok    bool
	}{
		"loopback":                   {opening(t, v4), "http://127.0.0.1:8080/", true},
		"mapped loopback":            {opening(t, v4), "http://[::ffff:127.0.0.1]/", true},
		"IPv6 loopback needs IPv6":   {opening(t, v4), "http://[::1]/", false},
		"localhost by IPv4":          {opening(t, v4), "http://localhost:8080/", true},
		"localhost by IPv6":          {opening(t, v6), "http://localhost:8080/", true},
		"below localhost":            {opening(t, v4), "http://a.localhost/", true},
		"localhost, other range":     {opening(t, "10.0.0.0/8"), "http://localhost/", false},
		"short form stays refused":   {opening(t, v4), "http://127.1/", false},
		"host":                       {hosts, "http://hooks.internal:8080/", true},
		"host: localhost":            {hosts, "http://LocalHost./", true},
		"host: below localhost":      {hosts, "http://a.localhost/", true},
		"host: literal":              {hosts, "http://10.0.0.1/", true},
		"host: mapped literal":       {hosts, "http://[::ffff:10.0.0.1]/", true},
		"host: IPv6 literal":         {hosts, "http://[::1]/", true},
		"host: another literal":      {hosts, "http://10.0.0.2/", false},
		"host: short form":           {hosts, "http://10.1/", false},
		"host: low port":             {hosts, "http://hooks.internal:25/", false},
		"port of https":              {ports, "https://example.com/", true},
		"port of http is not listed": {ports, "http://example.com/", false},
		"listed port":                {ports, "http://example.com:25/", true},
		"high port is not listed":    {ports, "https://example.com:8443/", false},
		"port of a literal":          {ports, "https://93.184.216.34/", true},
		"own":                        {own, "http://127.0.0.1:8470/", false},
		"own by localhost":           {own, "http://localhost:8470/", false},
		"own, another port":          {own, "http://localhost:8471/", true},
		"AllowAll, metadata":         {webhook.AllowAll(), "http://169.254.169.254/", true},
		"AllowAll, localhost":        {webhook.AllowAll(), "http://localhost/", true},
		"AllowAll, zone":             {webhook.AllowAll(), "http://[fe80::1%25lo]/", true},
		"AllowAll, port":             {webhook.AllowAll(), "http://example.com:25/", true},
		"AllowAll, form still holds": {webhook.AllowAll(), "http://user@127.0.0.1/", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.guard.CheckURL(c.raw); c.ok {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
			}
		})
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, c := range refusedURLs {
		f.Add(c.raw)
	}
	f.Add("https://example.com:8443/hook?a=b")
	f.Add("http://93.184.216.34/")
	f.Add("http://[2606:4700:4700::1111]:80/")
	f.Fuzz(func(t *testing.T, raw string) {
		opened := newGuard(t, webhook.GuardOptions{
			Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96")},
			Hosts:    []string{"*.localhost", "127.0.0.1"},
			Ports:    []uint16{80, 25},
		})
		agrees(t, opened, raw)
		agrees(t, &webhook.Guard{}, raw)
		g := &webhook.Guard{}
		if g.CheckURL(raw) != nil {
			return
		}
		require.LessOrEqual(t, len(raw), 2048)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, raw, nil)
		require.NoError(t, err)
		u := req.URL
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		host := strings.TrimSuffix(u.Hostname(), ".")
		require.NotEmpty(t, host)
		require.NotEqual(t, "localhost", strings.ToLower(host))

		// Whatever any resolver takes for an address has to be a public one.
		if addr, ok := inetAton(host); ok {
			require.NoError(t, g.Check("", netip.AddrPortFrom(addr, 443)))
		}

		// Nor may other characters be hiding one.
		_, err = url.Parse("http://" + u.Host)
		require.NoError(t, err)
		for _, r := range host {
			require.Less(t, r, rune(0x80))
		}
	})
}

// agrees holds that an address is refused when a URL is handed in just as it is when
// it is dialed.
func agrees(t *testing.T, g *webhook.Guard, raw string) {
	t.Helper()
	whenHandedIn := g.CheckURL(raw)
	var refused *webhook.GuardError
	if whenHandedIn != nil && !errors.As(whenHandedIn, &refused) {
		return // it is the form
	}
	u, err := url.Parse(raw)
	require.NoError(t, err)
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		require.Equal(t, whenHandedIn == nil, hook(t, g, u.Hostname(), port, addr.String())[addr.String()] == nil)
	}
}

// inetAton reads an IPv4 address as the C function of that name does: one to
// four decimal, octal or hexadecimal numbers, the last of which fills the rest.
func inetAton(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, p := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		base := 10
		if digits, ok := strings.CutPrefix(strings.ToLower(p), "0x"); ok {
			p, base = "0"+digits, 16
		} else if strings.HasPrefix(p, "0") {
			base = 8
		}
		n, err := strconv.ParseUint(p, base, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

func TestInetAton(t *testing.T) {
	for _, host := range []string{"127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.0.0.1", "017700000001"} {
		addr, ok := inetAton(host)
		require.True(t, ok, host)
		require.Equal(t, netip.MustParseAddr("127.0.0.1"), addr, host)
	}
	_, ok := inetAton("example.com")
	require.False(t, ok)
}
