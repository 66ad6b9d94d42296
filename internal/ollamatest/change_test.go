package ollamatest_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

func TestPullAndPush(t *testing.T) {
	s := ollamatest.New(t, nil)
	a := post(t, s, "/api/pull", `{"model":"llama3"}`)
	require.Equal(t, 200, a.status)
	require.Equal(t, "application/x-ndjson", a.header.Get("Content-Type"))
	got := lines(a.body)
	require.Equal(t, `{"status":"pulling manifest"}`, got[0])
	require.Equal(t, `{"status":"success"}`, got[len(got)-1])
	require.Equal(t, `{"status":"success"}`, post(t, s, "/api/pull", `{"model":"llama3","stream":false}`).body)
	require.Equal(t, `{"error":"pull model manifest: file does not exist"}`, lines(post(t, s, "/api/pull", `{"name":"x"}`).body)[1])
	require.Equal(t, 500, post(t, s, "/api/pull", `{"model":"x","stream":false}`).status)
	require.Equal(t, `{"status":"success"}`, post(t, s, "/api/push", `{"model":"llama3","stream":false}`).body)
	for _, path := range []string{"/api/pull", "/api/push", "/api/create", "/api/copy"} {
		a = post(t, s, path, ``)
		require.Equal(t, 400, a.status, path)
		require.Equal(t, `{"error":"missing request body"}`, a.body)
	}
}

func TestChangesOfModels(t *testing.T) {
	s := ollamatest.New(t, nil)
	require.Equal(t, 404, post(t, s, "/api/generate", ask("mine")).status)
	require.Equal(t, `{"error":"neither 'from' or 'files' was specified"}`, post(t, s, "/api/create", `{"model":"mine"}`).body)
	require.Equal(t, `{"status":"success"}`, post(t, s, "/api/create", `{"model":"mine","from":"llama3","stream":false}`).body)
	require.Equal(t, 200, post(t, s, "/api/generate", ask("mine")).status)

	a := post(t, s, "/api/copy", `{"source":"mine","destination":"other"}`)
	require.Equal(t, 200, a.status)
	require.Empty(t, a.body)
	require.Equal(t, `{"error":"model \"x\" not found"}`, post(t, s, "/api/copy", `{"source":"x","destination":"y"}`).body)
	require.Equal(t, 200, post(t, s, "/api/generate", ask("other")).status)

	a = send(t, request(t, s, "DELETE", "/api/delete", `{"model":"other"}`))
	require.Equal(t, 200, a.status)
	require.Empty(t, a.body)
	require.Equal(t, 404, post(t, s, "/api/generate", ask("other")).status)
	require.Equal(t, `{"error":"model 'other' not found"}`, send(t, request(t, s, "DELETE", "/api/delete", `{"model":"other"}`)).body)
}

func TestBlobs(t *testing.T) {
	s := ollamatest.New(t, nil)
	sum := sha256.Sum256([]byte("weights"))
	path := "/api/blobs/sha256:" + hex.EncodeToString(sum[:])
	require.Equal(t, 404, send(t, request(t, s, "HEAD", path, "")).status)
	require.Equal(t, 400, post(t, s, path, "others").status)
	require.Equal(t, 201, post(t, s, path, "weights").status)
	require.Equal(t, 200, send(t, request(t, s, "HEAD", path, "")).status)
	require.Equal(t, 400, send(t, request(t, s, "HEAD", "/api/blobs/x", "")).status)

	// What is there is answered before the body is read, which here never comes.
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 86000000\r\n\r\n", path)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
}
