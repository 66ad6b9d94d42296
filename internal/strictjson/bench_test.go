package strictjson_test

import (
	"encoding/json"
	"testing"

	"github.com/foreman-go/foreman/internal/strictjson"
)

// Check beside json.Valid, which looks for less.
func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name string
		text []byte
	}{
		{"chat 1KiB", chat(1 << 10)},
		{"chat 1MiB", chat(1 << 20)},
		{"one object of 100000 members", []byte(object(100_000, ""))},
	} {
		b.Run(c.name+"/strictjson", func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := strictjson.Check(c.text, 64); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				if !json.Valid(c.text) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
