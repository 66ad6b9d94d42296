package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

// Benchmark measures what a busy desk does: inserting with 1, 16 and 256
// callers, working off a queue in batches, of one owner and of a thousand,
// claiming from a shallow and from a deep queue (which should cost the same),
// sending deliveries, and reading one page of a long list. One operation is one
// record, one delivery or one page; records carry about 1 KiB, one event and one
// delivery. The custom metrics are operations per second.
func Benchmark(b *testing.B, h Harness) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("Insert/callers=%d", callers), func(b *testing.B) { benchInsert(b, h, callers) })
	}
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("Drain/batch=%d", batch), func(b *testing.B) { benchDrain(b, h, batch, 1) })
	}
	b.Run("Drain/batch=64/owners=1000", func(b *testing.B) { benchDrain(b, h, 64, 1000) })
	for _, depth := range []int{100, 20_000} {
		b.Run(fmt.Sprintf("Claim/depth=%d", depth), func(b *testing.B) { benchClaim(b, h, depth) })
	}
	b.Run("Send/batch=64", func(b *testing.B) { benchSend(b, h, 64) })
	b.Run("ListPage/of=10000", func(b *testing.B) { benchList(b, h, 10_000) })
}

// benchInsertion is a record as it is submitted, of about 1 KiB.
func benchInsertion() store.Insertion {
	in := sending("endpoint", 1)
	in.Spec = make([]byte, 1024)
	return in
}

// fill inserts n records of so many owners, outside of what is measured.
func (f *fixture) fill(n, owners int) {
	f.t.Helper()
	for n > 0 {
		batch := make([]store.Insertion, min(n, 1000))
		for i := range batch {
			batch[i] = benchInsertion()
			batch[i].Head.Owner = fmt.Sprint("owner ", i%owners)
		}
		f.insert(batch...)
		n -= len(batch)
	}
}

// perSecond reports operations per second beside the time for each.
func perSecond(b *testing.B, what string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), what+"/s")
}

func benchInsert(b *testing.B, h Harness, callers int) {
	f := newFixture(b, h)
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if r := result(f.Insert(f.ctx, []store.Insertion{benchInsertion()})); r.Err != nil {
					failure.Store(&r.Err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	if err := failure.Load(); err != nil {
		b.Fatal(*err)
	}
	perSecond(b, "records")
}

func benchDrain(b *testing.B, h Harness, batch, owners int) {
	f := newFixture(b, h)
	f.fill(b.N, owners)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; {
		records := f.claim("lane", batch)
		f.NotEmpty(records)
		changes := make([]store.Change, len(records))
		for i, r := range records {
			changes[i] = end(r.Head)
		}
		results, err := f.Apply(f.ctx, changes)
		f.NoError(err)
		f.heads(results, len(records))
		left -= len(records)
	}
	b.StopTimer()
	perSecond(b, "records")
}

// benchClaim takes one record and puts it back, so that the depth stays.
func benchClaim(b *testing.B, h Harness, depth int) {
	f := newFixture(b, h)
	f.fill(depth, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		records := f.claim("lane", 1)
		f.Len(records, 1)
		f.apply(change(records[0].Head, store.Queued, 0))
	}
	b.StopTimer()
	perSecond(b, "claims")
}

func benchSend(b *testing.B, h Harness, batch int) {
	f := newFixture(b, h)
	f.fill(b.N, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; {
		list := f.send(batch)
		f.NotEmpty(list)
		f.settle(store.Delivered, list...)
		left -= len(list)
	}
	b.StopTimer()
	perSecond(b, "deliveries")
}

// benchList reads pages from all over the list.
func benchList(b *testing.B, h Harness, length int) {
	f := newFixture(b, h)
	f.fill(length, 1)
	all := f.list(store.Query{Limit: 1000})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		before := ulid.ULID{}
		if i%10 > 0 {
			before = all[i%10*length/10].ID
		}
		_, err := f.List(f.ctx, store.Query{Before: before, Limit: 50})
		f.NoError(err)
	}
	b.StopTimer()
	perSecond(b, "pages")
}
