package artifacttest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func openRules() []rule {
	return []rule{
		{"NotFound", notFound},
		{"Seek", seek},
		{"ReaderOfTheWhole", readerOfTheWhole},
		{"ReplacedWhileRead", replacedWhileRead},
		{"RemovedWhileRead", removedWhileRead},
	}
}

func notFound(f *fixture) {
	f.gone(key(1, 1, "a"))
	f.put(key(1, 1, "a"), "")
	f.gone(key(1, 1, "b"))
	f.gone(key(1, 2, "a"))
	f.holds(key(1, 1, "a"), "")
}

// seek reads single ranges, as an HTTP server does.
func seek(f *fixture) {
	data := noise(1, 3<<20)
	k := key(1, 1, "a")
	f.put(k, string(data))
	r, err := f.s.Open(f.Context(), k)
	require.NoError(f, err)
	for _, c := range []struct {
		offset int64
		whence int
		at     int64
		size   int
	}{
		{0, io.SeekEnd, 3 << 20, 0},
		{0, io.SeekStart, 0, 10},
		{-3, io.SeekEnd, 3<<20 - 3, 3},
		{1 << 20, io.SeekStart, 1 << 20, 2 << 20},
		{-1, io.SeekCurrent, 3<<20 - 1, 1},
		{5, io.SeekStart, 5, 100},
		{100, io.SeekCurrent, 205, 1_500_000},
		{0, io.SeekCurrent, 1_500_205, 1},
	} {
		at, err := r.Seek(c.offset, c.whence)
		require.NoError(f, err)
		require.Equal(f, c.at, at)
		got := make([]byte, c.size)
		_, err = io.ReadFull(r, got)
		require.NoError(f, err)
		require.True(f, bytes.Equal(data[at:at+int64(c.size)], got), "%d bytes from %d on", c.size, at)
	}
	at, err := r.Seek(10, io.SeekEnd)
	require.NoError(f, err)
	require.EqualValues(f, 3<<20+10, at)
	n, err := r.Read(make([]byte, 1))
	require.Zero(f, n)
	require.Equal(f, io.EOF, err)
	_, err = r.Seek(-1, io.SeekStart)
	require.Error(f, err)
	require.NoError(f, r.Close())
	_, err = r.Read(make([]byte, 1))
	require.Error(f, err)
}

func readerOfTheWhole(f *fixture) {
	for n, size := range []int{0, 1, 100_000, 2_500_000} {
		data := noise(uint64(n), size)
		f.put(key(n, 1, "a"), string(data))
		r, err := f.s.Open(f.Context(), key(n, 1, "a"))
		require.NoError(f, err)
		if size <= 100_000 { // which asks for much in small pieces
			require.NoError(f, iotest.TestReader(r, data))
		} else {
			got, err := io.ReadAll(iotest.HalfReader(r))
			require.NoError(f, err)
			require.True(f, bytes.Equal(data, got))
		}
		require.NoError(f, r.Close())
	}
}

// A reader gives the bytes that it has opened, or fails; it never mixes them with
// others, of the same size and written within the same second.
func replacedWhileRead(f *fixture) {
	first, second := noise(1, 3<<20), noise(2, 3<<20)
	for name, read := range map[string]int{"before the first byte": 0, "after a byte": 1, "in the middle": 1<<20 + 1} {
		f.Run(name, func(t *testing.T) {
			k := key(1, 1, "a")
			f.put(k, string(first))
			r, err := f.s.Open(t.Context(), k)
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			begin := make([]byte, read)
			_, err = io.ReadFull(r, begin)
			require.NoError(t, err)
			f.put(k, string(second))
			rest, err := io.ReadAll(r)
			got := append(begin, rest...)
			switch {
			case f.h.Pinned || err == nil && read > 0:
				require.NoError(t, err)
				require.True(t, bytes.Equal(first, got))
			case err == nil:
				require.True(t, bytes.Equal(first, got) || bytes.Equal(second, got))
			default:
				require.ErrorIs(t, err, artifact.ErrChanged)
				require.True(t, bytes.HasPrefix(first, got) || read == 0 && bytes.HasPrefix(second, got))
			}
			_, err = r.Seek(2<<20, io.SeekStart)
			require.NoError(t, err)
			got = make([]byte, 1000)
			if _, err = io.ReadFull(r, got); err == nil && read > 0 {
				require.True(t, bytes.Equal(first[2<<20:2<<20+1000], got))
			}
			f.holds(k, string(second))
		})
	}
}

func removedWhileRead(f *fixture) {
	data := noise(1, 3<<20)
	k := key(1, 1, "a")
	f.put(k, string(data))
	r, err := f.s.Open(f.Context(), k)
	require.NoError(f, err)
	begin := make([]byte, 10)
	_, err = io.ReadFull(r, begin)
	require.NoError(f, err)
	require.NoError(f, f.s.Remove(f.Context(), k))
	f.gone(k)
	rest, err := io.ReadAll(r)
	got := append(begin, rest...)
	require.True(f, err == nil || !f.h.Pinned && errors.Is(err, artifact.ErrNotFound), "%v", err)
	require.True(f, bytes.HasPrefix(data, got))
	require.True(f, err != nil || len(got) == len(data))
	require.NoError(f, r.Close())
}

func removeRules() []rule {
	return []rule{{"Remove", remove}, {"RemoveMany", removeMany}, {"Replace", replace}}
}

func remove(f *fixture) {
	a, b, c := key(1, 1, "a"), key(1, 1, "b"), key(2, 1, "c")
	for _, k := range []artifact.Key{a, b, c} {
		f.put(k, "x")
	}
	require.NoError(f, f.s.Remove(f.Context()))
	require.NoError(f, f.s.Remove(f.Context(), a, key(3, 1, "missing"), c, c))
	f.gone(a)
	f.gone(c)
	f.holds(b, "x")
	err := f.s.Remove(f.Context(), artifact.Key{Job: a.Job, Name: ".."}, b)
	require.ErrorIs(f, err, artifact.ErrName)
	f.gone(b)
}

func removeMany(f *fixture) {
	var keys []artifact.Key
	for n := range 40 {
		keys = append(keys, key(n, 1, "a"), key(n, 1, "none"))
		f.put(keys[2*n], "x")
	}
	require.NoError(f, f.s.Remove(f.Context(), keys...))
	for _, k := range keys {
		f.gone(k)
	}
	f.clean()
}

func replace(f *fixture) {
	k := key(1, 1, "a")
	for _, data := range []string{"the first, and longer", "second", "", "the fourth"} {
		f.put(k, data)
		f.holds(k, data)
	}
	require.Equal(f, 1, f.sweep(keepNone))
	f.clean()
}

// Bench measures Put and Open, with all that is read, at some sizes. The store is
// opened once.
func Bench(b *testing.B, newHarness func(testing.TB) Harness) {
	s := newHarness(b).Open(b)
	for _, c := range []struct {
		name string
		size int
	}{{"64KiB", 64 << 10}, {"1MiB", 1 << 20}, {"64MiB", 64 << 20}} {
		data := noise(1, c.size)
		k := key(1, 1, "a")
		if _, err := s.Put(b.Context(), k, "", bytes.NewReader(data), 0); err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/Put", func(b *testing.B) {
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				// Only a Reader: not to be handed on in one piece.
				if _, err := s.Put(b.Context(), k, "", readerFunc(bytes.NewReader(data).Read), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		buffer := make([]byte, 32<<10)
		b.Run(c.name+"/Open", func(b *testing.B) {
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				r, err := s.Open(b.Context(), k)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buffer)
				if err != nil || n != int64(c.size) {
					b.Fatal(n, err)
				}
				_ = r.Close()
			}
		})
		b.Run(c.name+"/Range", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := s.Open(b.Context(), k)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = r.Seek(int64(c.size/2), io.SeekStart)
				if _, err := io.ReadFull(r, buffer[:1000]); err != nil {
					b.Fatal(err)
				}
				_ = r.Close()
			}
		})
	}
}
