package artifact_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Put beside the least that keeps bytes in a file: a write and a sync, with no
// hash, and nothing that makes the name durable or the change atomic.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 256 << 10, 16 << 20} {
		data := noise(1, size)
		b.Run(fmt.Sprintf("%dKiB/Put", size>>10), func(b *testing.B) {
			d, _ := open(b)
			k := key(1, 1, "a")
			put(b, d, k, data) // makes the shard
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Put(b.Context(), k, "", bytes.NewReader(data), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%dKiB/WriteFile+fsync", size>>10), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "a")
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := writeAndSync(path, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func writeAndSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
