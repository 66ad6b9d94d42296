package daemon

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Before there is a queue, whoever asks is answered: that the process is there, and that
// it is to be asked again.
func TestFront(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := newFront(t.Context(), ln, slog.New(slog.DiscardHandler))
	defer f.close()
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+path, http.NoBody)
		require.NoError(t, err)
		resp, err := client.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp, string(body)
	}
	resp, body := get("/healthz")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.JSONEq(t, `{"status":"ok"}`, body)
	for _, path := range []string{"/readyz", "/jobs", "/"} {
		resp, body = get(path)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Equal(t, "1", resp.Header.Get("Retry-After"))
		require.Contains(t, body, `"type":"unavailable"`)
	}

	f.open(http.NotFoundHandler())
	resp, _ = get("/healthz")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	f.close()
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	require.Error(t, err)
}
