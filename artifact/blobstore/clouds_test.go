package blobstore_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob"
	_ "gocloud.dev/blob/gcsblob"

	"github.com/foreman-go/foreman/artifact/artifacttest"
)

// TestCloud runs the suite over a bucket that FOREMAN_TEST_BUCKET_URL names, of any
// kind: a real one, or one of an emulator. It removes what it has put there.
func TestCloud(t *testing.T) {
	url := os.Getenv("FOREMAN_TEST_BUCKET_URL")
	if url == "" {
		t.Skip("set FOREMAN_TEST_BUCKET_URL to a bucket, with the credentials where its SDK looks for them")
	}
	if strings.Contains(url, "?") {
		url += "&"
	} else {
		url += "?"
	}
	artifacttest.Run(t, func(tb testing.TB) artifacttest.Harness {
		place := url + "prefix=foreman-test-" + rand.Text() + "/"
		tb.Cleanup(func() {
			bucket, err := blob.OpenBucket(context.Background(), place)
			require.NoError(tb, err)
			for _, k := range keysIn(tb, bucket) {
				_ = bucket.Delete(context.Background(), k)
			}
			require.NoError(tb, bucket.Close())
		})
		return overURL(tb, place)
	})
}
