package clients

import (
	"bytes"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Raw sends a request as it is over a connection of its own, and returns the bytes
// that come until the server ends the connection: the request has to ask for that,
// with Connection: close.
func Raw(tb testing.TB, baseURL string, request []byte) (response []byte) {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", strings.TrimPrefix(baseURL, "http://"))
	require.NoError(tb, err)
	defer conn.Close()
	require.NoError(tb, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, _ = conn.Write(request) // a server may answer, and end, before it has read all
	response, err = io.ReadAll(conn)
	require.NotErrorIs(tb, err, os.ErrDeadlineExceeded, "no end after %q", response) // any other error is one
	return response
}

// Answer is a response without what may differ on the way through a gateway: Date,
// what concerns one connection alone, and the order of the header.
type Answer struct {
	Status string   // the first line
	Header []string // the other lines, sorted
	Body   string
	// Chunks are the pieces in which a chunked body came, but for the last, which is
	// empty. Where they begin is not lawful to rely on, but clients do.
	Chunks []string
	// Whole tells whether the body ended as its framing says.
	Whole bool
}

// Joined is the answer without the borders of its chunks.
func (a Answer) Joined() Answer {
	a.Chunks = nil
	return a
}

// Parse takes the response to a request apart.
func Parse(tb testing.TB, request, response []byte) Answer {
	tb.Helper()
	head, body, ok := bytes.Cut(response, []byte("\r\n\r\n"))
	require.True(tb, ok, "no end of the header in %q", response)
	lines := strings.Split(string(head), "\r\n")
	a := Answer{Status: lines[0], Body: string(body)}
	chunked, length := false, -1
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		require.True(tb, ok, "%q is no line of a header", line)
		switch name {
		case "Date", "Connection", "Keep-Alive":
			continue
		case "Transfer-Encoding":
			chunked = value == "chunked"
		case "Content-Length":
			n, err := strconv.Atoi(value)
			require.NoError(tb, err)
			length = n
		}
		a.Header = append(a.Header, line)
	}
	slices.Sort(a.Header)
	switch {
	case chunked:
		a.Chunks, a.Whole = chunks(tb, body)
		a.Body = strings.Join(a.Chunks, "")
	case bytes.HasPrefix(request, []byte("HEAD ")):
		a.Whole = len(body) == 0
	default:
		a.Whole = length < 0 || length == len(body)
	}
	return a
}

// chunks takes a chunked body apart, and reports whether it has its end.
func chunks(tb testing.TB, body []byte) (out []string, whole bool) {
	tb.Helper()
	for {
		size, rest, ok := bytes.Cut(body, []byte("\r\n"))
		if !ok {
			return out, false
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		require.NoError(tb, err)
		if n == 0 {
			return out, string(rest) == "\r\n"
		}
		if len(rest) < int(n)+2 {
			return append(out, string(rest)), false
		}
		out = append(out, string(rest[:n]))
		body = rest[n+2:]
	}
}
