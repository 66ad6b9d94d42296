package bolt_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/bolt"
	"github.com/foreman-go/foreman/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var harness = storetest.Harness{
	New:  func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "foreman.db") },
	Open: func(path string) (store.Store, error) { return bolt.Open(path, nil) },
}

func TestStore(t *testing.T) { storetest.Run(t, harness) }

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness) }
