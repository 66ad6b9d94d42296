package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func keepNone(string, uint64) (bool, error) { return false, nil }

func TestSweep(t *testing.T) {
	d, dir := open(t)
	kept := []artifact.Key{key(1, 2, "a"), key(1, 2, "B"), key(101, 1, "a")}
	swept := []artifact.Key{key(1, 1, "a"), key(1, 20, "a"), key(2, 1, "a"), key(2, 1, "c-d")}
	for _, k := range append(kept, swept...) {
		put(t, d, k, []byte("x"))
	}
	foreign := []string{
		"README", "x/y", "tmp2/z", "01/notes.txt", "01/" + key(1, 1, "").Job, "01/" + key(1, 1, "").Job + "-1-",
		"01/" + key(1, 1, "").Job + "-01-a", "01/" + key(1, 1, "").Job + "-1-a~1", "01/" + key(2, 1, "").Job + "-1-a", "01/" + key(1, 1, "").Job + "-1-.a",
	}
	leftover := []string{"tmp/ABCDEFGH", "tmp/.x", "tmp/other.txt"}
	for _, file := range append(foreign, leftover...) {
		path := filepath.Join(dir, filepath.FromSlash(file))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
	}

	type claim struct {
		job string
		run uint64
	}
	asked := map[claim]int{}
	known := map[claim]bool{{kept[0].Job, 2}: true, {kept[2].Job, 1}: true}
	keep := func(job string, run uint64) (bool, error) {
		asked[claim{job, run}]++
		return known[claim{job, run}], nil
	}
	removed, err := d.Sweep(t.Context(), keep)
	require.NoError(t, err)
	require.Equal(t, len(swept)+len(leftover), removed)
	require.Len(t, asked, 5)
	for c, times := range asked {
		require.Equal(t, 1, times, c)
	}
	for _, k := range kept {
		require.Equal(t, "x", string(get(t, d, k)))
	}
	for _, k := range swept {
		gone(t, d, k)
	}
	require.Len(t, files(t, dir), len(kept)+len(foreign))

	removed, err = d.Sweep(t.Context(), keep)
	require.NoError(t, err)
	require.Zero(t, removed)
}

func TestSweepStopsWhenKeepFails(t *testing.T) {
	d, dir := open(t)
	for n := range 5 {
		put(t, d, key(n, 1, "a"), nil)
	}
	down, asked := errors.New("store is down"), 0
	removed, err := d.Sweep(t.Context(), func(string, uint64) (bool, error) { asked++; return false, down })
	require.ErrorIs(t, err, down)
	require.Equal(t, 1, asked)
	require.Zero(t, removed)
	require.Len(t, files(t, dir), 5)
}

func TestSweepStopsWithTheContext(t *testing.T) {
	d, dir := open(t)
	for n := range 5 {
		put(t, d, key(n, 1, "a"), nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	removed, err := d.Sweep(ctx, func(string, uint64) (bool, error) { cancel(); return false, nil })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, removed)
	require.Len(t, files(t, dir), 4)
}

func TestSweepGoesOnAfterWhatItCannotRemove(t *testing.T) {
	d, dir := open(t)
	put(t, d, key(1, 1, "a"), nil)
	put(t, d, key(2, 1, "a"), nil)
	stuck := filepath.Join(dir, "01", key(1, 1, "").Job+"-1-full", "directory")
	require.NoError(t, os.MkdirAll(stuck, 0o700))
	removed, err := d.Sweep(t.Context(), keepNone)
	require.ErrorContains(t, err, "-1-full")
	require.Equal(t, 2, removed)
	require.DirExists(t, stuck)
}

// heldPut begins a Put that waits, with its temporary file written in part,
// until finish is called.
func heldPut(t *testing.T, d *artifact.Dir, k artifact.Key, data string) (finish func()) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := d.Put(t.Context(), k, "", r, 0)
		done <- err
	}()
	_, err := io.WriteString(w, data[:1])
	require.NoError(t, err)
	return func() {
		_, err := io.WriteString(w, data[1:])
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoError(t, <-done)
	}
}

func TestSweepLeavesPutsUnderWayAlone(t *testing.T) {
	d, dir := open(t)
	under, earlier, other := key(1, 1, "new"), key(1, 1, "earlier"), key(1, 2, "other")
	put(t, d, earlier, []byte("x"))
	put(t, d, other, []byte("x"))
	finish := heldPut(t, d, under, "complete")
	require.Len(t, files(t, filepath.Join(dir, "tmp")), 1)

	removed, err := d.Sweep(t.Context(), keepNone)
	require.NoError(t, err)
	require.Equal(t, 1, removed, "only that of the other run")
	gone(t, d, other)
	require.Len(t, files(t, filepath.Join(dir, "tmp")), 1)

	finish()
	require.Equal(t, "complete", string(get(t, d, under)))
	require.Equal(t, "x", string(get(t, d, earlier)))
	removed, err = d.Sweep(t.Context(), keepNone)
	require.NoError(t, err)
	require.Equal(t, 2, removed)
}

func TestSweepLeavesWhatCameAfterTheQuestion(t *testing.T) {
	d, _ := open(t)
	k := key(1, 1, "a")
	for name, during := range map[string]func() (after func()){
		"a whole Put":        func() func() { put(t, d, k, []byte("new")); return func() {} },
		"the start of a Put": func() func() { return heldPut(t, d, k, "new") },
	} {
		t.Run(name, func(t *testing.T) {
			put(t, d, k, []byte("old"))
			var after func()
			removed, err := d.Sweep(t.Context(), func(string, uint64) (bool, error) {
				after = during()
				return false, nil
			})
			require.NoError(t, err)
			require.Zero(t, removed)
			after()
			require.Equal(t, "new", string(get(t, d, k)))
		})
	}
	removed, err := d.Sweep(t.Context(), keepNone)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
}

// Sweeps run without pause while Puts do. A job is known from before its first
// Put until after its last Remove, as a job is; what it has must stay.
func TestSweepsDuringPuts(t *testing.T) {
	d, dir := open(t)
	var known sync.Map
	keep := func(job string, _ uint64) (bool, error) { _, ok := known.Load(job); return ok, nil }

	ctx, stop := context.WithCancel(t.Context())
	var sweepers, writers sync.WaitGroup
	var sweeps atomic.Int64
	for range 2 {
		sweepers.Go(func() {
			for ctx.Err() == nil {
				if _, err := d.Sweep(ctx, keep); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
				sweeps.Add(1)
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 50 {
				data := noise(uint64(i), 10_000)
				first, second := key(w*50+i, 1, "a"), key(w*50+i, 1, "b")
				known.Store(first.Job, true)
				for _, k := range []artifact.Key{first, second} {
					if _, err := d.Put(ctx, k, "", bytes.NewReader(data), 0); err != nil {
						t.Error(err)
						return
					}
				}
				f, err := d.Open(ctx, first)
				if err != nil {
					t.Error(err)
					return
				}
				got, _ := io.ReadAll(f)
				_ = f.Close()
				if !bytes.Equal(got, data) {
					t.Error("other bytes than were put")
				}
				if i%2 == 0 { // the job is forgotten, and its artifacts left behind
					known.Delete(first.Job)
				}
			}
		})
	}
	writers.Wait()
	stop()
	sweepers.Wait()
	require.Positive(t, sweeps.Load())

	_, err := d.Sweep(t.Context(), keep)
	require.NoError(t, err)
	left := files(t, dir)
	require.Len(t, left, 4*25*2)
	require.False(t, strings.HasPrefix(left[len(left)-1], "tmp/"))
}
