package blobstore_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/artifacttest"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/internal/s3test"
)

func TestMain(m *testing.M) {
	// The SDK keeps connections that nobody uses.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// alone is for a store that is swept at once.
var alone = &blobstore.Options{SweepAge: -1}

// open opens a store, and closes it at the end of the test.
func open(tb testing.TB, url string, o *blobstore.Options) *blobstore.Store {
	tb.Helper()
	s, err := blobstore.Open(tb.Context(), url, o)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.True(tb, s.Idle(), "every Put and Sweep has left no trace in memory")
		require.NoError(tb, s.Close())
	})
	return s
}

// key returns the key of an artifact of the n-th job.
func key(n int, run uint64, name string) artifact.Key {
	return artifact.Key{Job: fmt.Sprintf("01%024d", n), Run: run, Name: name}
}

// places are the kinds of buckets that everything is shown with.
func places(tb testing.TB) map[string]func(testing.TB) artifacttest.Harness {
	var s3 *s3test.Server
	var buckets atomic.Int64
	return map[string]func(testing.TB) artifacttest.Harness{
		"mem": func(testing.TB) artifacttest.Harness {
			bucket := memblob.OpenBucket(nil)
			return artifacttest.Harness{
				// Closing one would close the other.
				Open:      func(testing.TB) artifact.Store { return blobstore.New(bucket, alone) },
				Leftovers: func(tb testing.TB) []string { return foreign(tb, bucket) },
			}
		},
		"file": func(t testing.TB) artifacttest.Harness {
			url := "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "with", "parents"))
			return overURL(t, url+"?create_dir=true")
		},
		"s3": func(t testing.TB) artifacttest.Harness {
			if s3 == nil {
				s3 = s3test.Start(tb)
			}
			name := fmt.Sprintf("bucket-%d", buckets.Add(1))
			return overURL(t, s3.Bucket(t, name)+"&prefix=some/where/")
		},
	}
}

func overURL(tb testing.TB, url string) artifacttest.Harness {
	return artifacttest.Harness{
		Open: func(tb testing.TB) artifact.Store { return open(tb, url, alone) },
		Leftovers: func(tb testing.TB) []string {
			bucket, err := blob.OpenBucket(tb.Context(), url)
			require.NoError(tb, err)
			defer func() { require.NoError(tb, bucket.Close()) }()
			return foreign(tb, bucket)
		},
	}
}

// foreign lists objects that are neither artifacts nor the clock and the owner.
func foreign(tb testing.TB, bucket *blob.Bucket) (keys []string) {
	objects := bucket.List(nil)
	seq, failed := objects.All(tb.Context())
	for o := range seq {
		path, _ := strings.CutSuffix(o.Key, ".attrs~0")
		if path != o.Key {
			path += ".attrs"
		}
		if _, ok := artifact.ParsePath(path); !ok && o.Key != "clock" && o.Key != "queue" {
			keys = append(keys, o.Key)
		}
	}
	require.NoError(tb, failed())
	return keys
}

func TestStore(t *testing.T) {
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) { artifacttest.Run(t, place) })
	}
}

func BenchmarkStore(b *testing.B) {
	all := places(b)
	all["Dir"] = func(tb testing.TB) artifacttest.Harness {
		return artifacttest.Harness{Open: func(tb testing.TB) artifact.Store {
			d, err := artifact.OpenDir(tb.TempDir())
			require.NoError(tb, err)
			tb.Cleanup(func() { require.NoError(tb, d.Close()) })
			return d
		}}
	}
	for _, name := range []string{"Dir", "file", "mem", "s3"} {
		b.Run(name, func(b *testing.B) { artifacttest.Bench(b, all[name]) })
	}
}
