package webhook_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

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
	answers, known := n.names[strings.ToLower(name)]
	if !known {
		return nil, false
	}
	for text := range strings.FieldsSeq(answers[0]) {
		if a := netip.MustParseAddr(text); a.Is4() == (kind == 1) {
			addrs = append(addrs, a)
		}
	}
	if len(answers) > 1 && len(addrs) > 0 {
		n.names[strings.ToLower(name)] = answers[1:]
	}
	return addrs, true
}

func (n *network) sender(t *testing.T, g *webhook.Guard) *webhook.Sender {
	t.Helper()
	s := newSender(t, webhook.SenderOptions{Guard: g, Timeout: 10 * time.Second})
	s.SetDialer(n.dialer(g))
	return s
}

// hook runs the control hook as the dialer of a Sender does, for a host that some
// resolver has found these addresses for, and returns what it said of each.
func hook(t *testing.T, g *webhook.Guard, host, port string, addrs ...string) map[string]error {
	t.Helper()
	said := make(map[string]error)
	dial := webhook.WithHost(func(ctx context.Context, network, _ string) (net.Conn, error) {
		for _, a := range addrs {
			said[a] = g.Control(ctx, network, net.JoinHostPort(a, port), nil)
		}
		return nil, errNotDialed
	})
	_, err := dial(t.Context(), "tcp", net.JoinHostPort(host, port))
	require.ErrorIs(t, err, errNotDialed)
	return said
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
