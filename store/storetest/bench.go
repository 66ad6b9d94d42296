package storetest

import "testing"

func Benchmark(b *testing.B, h Harness) {}
