package echo_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/cmd/foremand/internal/echo"
)

// server is a model server that answers everything in the same way.
type server struct {
	body string
	err  error
	got  []string // method, path and body of each request
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	s.got = append(s.got, r.Method+" "+r.URL.Path+" "+string(body))
	if s.err != nil {
		return nil, s.err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(s.body)), ContentLength: -1,
	}, nil
}

func TestBeside(t *testing.T) {
	s := &server{body: `{"models":[{"name":"llama3:latest","size":1}]}`}
	rt := echo.Beside(s)
	const chat = `{"model":"llama3","messages":[]}`
	send(t.Context(), t, rt, http.MethodPost, "/api/chat", chat)
	require.Equal(t, []string{"POST /api/chat " + chat}, s.got, "another model is the server's, byte for byte")

	got := lines(t, send(t.Context(), t, rt, http.MethodPost, "/api/generate", `{"model":"echo","prompt":"hello"}`).Body)
	require.Equal(t, "hello", *got[0].Response)
	require.Len(t, s.got, 1, "the echo model is not")

	resp := send(t.Context(), t, rt, http.MethodGet, "/api/tags", "")
	var tags struct{ Models []struct{ Name string } }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&tags))
	require.Equal(t, []struct{ Name string }{{"llama3:latest"}, {"echo"}}, tags.Models)

	send(t.Context(), t, rt, http.MethodGet, "/api/ps", "")
	require.Equal(t, "GET /api/ps ", s.got[len(s.got)-1])
}

func TestBesideNoServer(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: io.ErrUnexpectedEOF}
	rt := echo.Beside(&server{err: refused})
	for _, path := range []string{"/api/tags", "/api/version"} {
		require.Equal(t, http.StatusOK, send(t.Context(), t, rt, http.MethodGet, path, "").StatusCode)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/chat", strings.NewReader(`{"model":"llama3"}`))
	require.NoError(t, err)
	_, err = rt.RoundTrip(r)
	require.ErrorIs(t, err, refused, "as the server's transport has it")
}

func TestBesideWhatIsNoList(t *testing.T) {
	resp := send(t.Context(), t, echo.Beside(&server{body: "starting"}), http.MethodGet, "/api/tags", "")
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "starting", string(body))
}
