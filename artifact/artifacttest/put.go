package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func putRules() []rule {
	return []rule{
		{"RoundTrip", roundTrip},
		{"KnownHash", knownHash},
		{"Limit", limit},
		{"FailedPutLeavesNothing", failedPutLeavesNothing},
		{"PanicOfReaderLeavesNothing", panicLeavesNothing},
		{"EndedContext", endedContext},
		{"ConcurrentPuts", concurrentPuts},
	}
}

func roundTrip(f *fixture) {
	var keys []artifact.Key
	var want [][]byte
	for n, size := range []int{0, 1, 1000, 128 << 10, 262_143, 262_144, 262_145, 3 << 20, 12<<20 + 7} {
		data := noise(uint64(n), size)
		k := key(n, 7, "out.bin")
		// One byte at a time is how small reads come from a pipe.
		var r io.Reader = bytes.NewReader(data)
		if size <= 1000 {
			r = iotest.OneByteReader(r)
		}
		info, err := f.s.Put(f.Context(), k, "Text/Plain", r, int64(size))
		require.NoError(f, err)
		require.Equal(f, artifact.Info{
			Name: "out.bin", ContentType: "text/plain", Size: int64(size), SHA256: hashOf(data),
		}, info)
		keys, want = append(keys, k), append(want, data)
	}
	again := f.s
	if !f.h.Exclusive {
		again = f.h.Open(f)
	}
	for i, k := range keys {
		for _, s := range []artifact.Store{f.s, again} {
			require.True(f, bytes.Equal(want[i], f.get(s, k)), "%d bytes", len(want[i]))
		}
	}
	f.clean()
}

func knownHash(f *fixture) {
	info := f.put(key(1, 1, "a"), "abc")
	require.Equal(f, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", info.SHA256)
	require.Equal(f, "application/octet-stream", info.ContentType)
}

func limit(f *fixture) {
	const limit = 300_000
	for i, c := range []struct {
		size int
		want error
	}{
		{limit - 1, nil},
		{limit, nil},
		{limit + 1, artifact.ErrTooLarge},
		{40 * limit, artifact.ErrTooLarge},
	} {
		k := key(i, 1, "a")
		_, err := f.s.Put(f.Context(), k, "", bytes.NewReader(make([]byte, c.size)), limit)
		require.ErrorIs(f, err, c.want, "%d bytes", c.size)
		if c.want != nil {
			f.gone(k)
		}
	}
	f.clean()
}

// What goes wrong in a Put leaves nothing, and does not touch the artifact that it
// was to replace: before anything can have been sent anywhere, and after much has.
func failedPutLeavesNothing(f *fixture) {
	broken := errors.New("pipe broke")
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	after := func(size int, then io.Reader) io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, size)), then)
	}
	for name, c := range map[string]struct {
		put  func(k artifact.Key) error
		want error
	}{
		"too large": {func(k artifact.Key) error { return f.putFrom(k, "", endless, 20<<20) }, artifact.ErrTooLarge},
		"content type": {func(k artifact.Key) error {
			return f.putFrom(k, "nonsense", strings.NewReader("new"), 0)
		}, artifact.ErrContentType},
		"reader fails at once": {func(k artifact.Key) error { return f.putFrom(k, "", iotest.ErrReader(broken), 0) }, broken},
		"reader fails later": {func(k artifact.Key) error {
			return f.putFrom(k, "", after(1<<20, iotest.ErrReader(broken)), 0)
		}, broken},
		"reader fails much later": {func(k artifact.Key) error {
			return f.putFrom(k, "", after(20<<20, iotest.ErrReader(broken)), 0)
		}, broken},
		"reader ends early": {func(k artifact.Key) error {
			return f.putFrom(k, "", iotest.ErrReader(fmt.Errorf("cut off: %w", io.EOF)), 0)
		}, io.EOF},
		"reader returns nothing": {func(k artifact.Key) error {
			return f.putFrom(k, "", readerFunc(func([]byte) (int, error) { return 0, nil }), 0)
		}, io.ErrNoProgress},
		"canceled between reads": {func(k artifact.Key) error { return f.putCanceled(k, 0, nil) }, context.Canceled},
		"canceled after a while": {func(k artifact.Key) error { return f.putCanceled(k, 20<<20, nil) }, context.Canceled},
		"canceled, and the reader ends": {func(k artifact.Key) error {
			return f.putCanceled(k, 1000, io.EOF)
		}, context.Canceled},
		"canceled after a while, and the reader ends": {func(k artifact.Key) error {
			return f.putCanceled(k, 20<<20, io.EOF)
		}, context.Canceled},
	} {
		f.Run(name, func(t *testing.T) {
			old, other := key(1, 1, "a"), key(2, 1, "a")
			f.put(old, "old")
			require.ErrorIs(t, c.put(old), c.want)
			f.holds(old, "old")
			require.ErrorIs(t, c.put(other), c.want)
			f.gone(other)
			f.clean()
		})
	}
}

func (f *fixture) putFrom(k artifact.Key, contentType string, r io.Reader, limit int64) error {
	_, err := f.s.Put(f.Context(), k, contentType, r, limit)
	return err
}

// putCanceled puts an artifact from a reader that cancels the Put after so many
// bytes, and then returns err.
func (f *fixture) putCanceled(k artifact.Key, size int, err error) error {
	ctx, cancel := context.WithCancel(f.Context())
	defer cancel()
	_, got := f.s.Put(ctx, k, "", io.MultiReader(bytes.NewReader(make([]byte, size)), readerFunc(func(p []byte) (int, error) {
		cancel()
		if err != nil {
			return 0, err
		}
		return len(p), nil
	})), 0)
	return got
}

func panicLeavesNothing(f *fixture) {
	k := key(1, 1, "a")
	f.put(k, "old")
	for _, size := range []int{0, 20 << 20} {
		r := io.MultiReader(bytes.NewReader(make([]byte, size)), readerFunc(func([]byte) (int, error) { panic("reader") }))
		require.Panics(f, func() { _ = f.putFrom(k, "", r, 0) })
	}
	f.holds(k, "old")
	f.clean()
	require.Equal(f, 1, f.sweep(keepNone), "the Put does not count as under way any more")
}

func endedContext(f *fixture) {
	k := key(1, 1, "a")
	f.put(k, "x")
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	_, err := f.s.Put(ctx, key(1, 1, "b"), "", bytes.NewReader(nil), 0)
	require.ErrorIs(f, err, context.Canceled)
	_, err = f.s.Open(ctx, k)
	require.ErrorIs(f, err, context.Canceled)
	require.ErrorIs(f, f.s.Remove(ctx, k), context.Canceled)
	_, err = f.s.Sweep(ctx, keepNone)
	require.ErrorIs(f, err, context.Canceled)
	f.holds(k, "x")
	f.gone(key(1, 1, "b"))
}

func concurrentPuts(f *fixture) {
	const writers, each, size = 6, 8, 300_000
	shared := key(0, 1, "shared")
	versions := map[string]bool{}
	for w := range writers {
		versions[hashOf(noise(uint64(w), size))] = true
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if err := f.putFrom(key(w*each+i, 1, "own"), "", bytes.NewReader(noise(uint64(i), 1000)), 0); err != nil {
					f.Error(err)
				}
				if err := f.putFrom(shared, "", bytes.NewReader(noise(uint64(w), size)), 0); err != nil {
					f.Error(err)
				}
				data, err := f.read(f.s, shared)
				if err != nil && (f.h.Pinned || !errors.Is(err, artifact.ErrChanged)) {
					f.Error(err)
				}
				if err == nil && !versions[hashOf(data)] {
					f.Errorf("read %d bytes that nobody wrote", len(data))
				}
			}
		})
	}
	group.Wait()
	for n := range writers * each {
		f.holds(key(n, 1, "own"), string(noise(uint64(n%each), 1000)))
	}
	f.clean()
}
