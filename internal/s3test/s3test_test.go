package s3test_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob"

	"github.com/foreman-go/foreman/internal/s3test"
)

func TestServer(t *testing.T) {
	s := s3test.Start(t)
	b, err := blob.OpenBucket(t.Context(), s.Bucket(t, "things"))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.NoError(t, b.WriteAll(t.Context(), "a/b", []byte("thing"), nil))
	data, err := b.ReadAll(t.Context(), "a/b")
	require.NoError(t, err)
	require.Equal(t, "thing", string(data))

	resp, err := http.Get("http://" + s.Address + "/things/a/b")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "it looks at signatures")

	s.Stop()
	_, err = http.Get("http://" + s.Address + "/health")
	require.Error(t, err)
}
