package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func sweepRules() []rule {
	return []rule{
		{"Sweep", sweepAll},
		{"StopsWhenKeepFails", sweepStopsWhenKeepFails},
		{"StopsWithTheContext", sweepStopsWithTheContext},
		{"LeavesPutsUnderWayAlone", sweepLeavesPutsUnderWayAlone},
		{"LeavesWhatCameAfterTheQuestion", sweepLeavesWhatCameAfterTheQuestion},
		{"KeepMayCallTheStore", keepMayCallTheStore},
		{"SweepsDuringPuts", sweepsDuringPuts},
	}
}

func sweepAll(f *fixture) {
	kept := []artifact.Key{key(1, 2, "a"), key(1, 2, "B"), key(101, 1, "a")}
	swept := []artifact.Key{key(1, 1, "a"), key(1, 20, "a"), key(2, 1, "a"), key(2, 1, "c-d"), key(2, 1, "E")}
	for _, k := range append(kept, swept...) {
		f.put(k, "x")
	}
	type claim struct {
		job string
		run uint64
	}
	asked := map[claim]int{}
	keep := func(job string, run uint64) (bool, error) {
		asked[claim{job, run}]++
		return job == kept[0].Job && run == 2 || job == kept[2].Job, nil
	}
	require.Equal(f, len(swept), f.sweep(keep))
	require.Len(f, asked, 5)
	for c, times := range asked {
		require.Equal(f, 1, times, c)
	}
	for _, k := range kept {
		f.holds(k, "x")
	}
	for _, k := range swept {
		f.gone(k)
	}
	require.Zero(f, f.sweep(keep))
	f.clean()
}

func sweepStopsWhenKeepFails(f *fixture) {
	for n := range 5 {
		f.put(key(n, 1, "a"), "")
	}
	down, asked := errors.New("store is down"), 0
	removed, err := f.s.Sweep(f.Context(), func(string, uint64) (bool, error) { asked++; return false, down })
	require.ErrorIs(f, err, down)
	require.Equal(f, 1, asked)
	require.Zero(f, removed)
	for n := range 5 {
		f.holds(key(n, 1, "a"), "")
	}
}

func sweepStopsWithTheContext(f *fixture) {
	for n := range 5 {
		f.put(key(n, 1, "a"), "")
	}
	ctx, cancel := context.WithCancel(f.Context())
	removed, err := f.s.Sweep(ctx, func(string, uint64) (bool, error) { cancel(); return false, nil })
	require.ErrorIs(f, err, context.Canceled)
	require.LessOrEqual(f, removed, 1)
	require.Equal(f, 5-removed, f.sweep(keepNone))
}

// heldPut begins a Put that waits, with a part of it read, until finish is called.
func (f *fixture) heldPut(k artifact.Key, data string) (finish func()) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- f.putFrom(k, "", r, 0) }()
	_, err := io.WriteString(w, data[:1])
	require.NoError(f, err)
	return func() {
		_, err := io.WriteString(w, data[1:])
		require.NoError(f, err)
		require.NoError(f, w.Close())
		require.NoError(f, <-done)
	}
}

func sweepLeavesPutsUnderWayAlone(f *fixture) {
	under, earlier, other := key(1, 1, "new"), key(1, 1, "earlier"), key(1, 2, "other")
	f.put(earlier, "x")
	f.put(other, "x")
	finish := f.heldPut(under, "complete")
	require.Equal(f, 1, f.sweep(keepNone), "only that of the other run")
	f.gone(other)
	finish()
	f.holds(under, "complete")
	f.holds(earlier, "x")
	require.Equal(f, 2, f.sweep(keepNone))
}

func sweepLeavesWhatCameAfterTheQuestion(f *fixture) {
	k := key(1, 1, "a")
	for name, during := range map[string]func() (after func()){
		"a whole Put":        func() func() { f.put(k, "new"); return func() {} },
		"the start of a Put": func() func() { return f.heldPut(k, "new") },
	} {
		f.put(k, "old")
		var after func()
		require.Zero(f, f.sweep(func(string, uint64) (bool, error) {
			after = during()
			return false, nil
		}), name)
		after()
		f.holds(k, "new")
	}
	require.Equal(f, 1, f.sweep(keepNone))
}

func keepMayCallTheStore(f *fixture) {
	f.put(key(1, 1, "a"), "x")
	f.put(key(2, 1, "a"), "x")
	require.Equal(f, 1, f.sweep(func(job string, run uint64) (bool, error) {
		f.put(key(3, 1, "a"), "y")
		return job != key(1, 1, "").Job, nil
	}))
	f.holds(key(2, 1, "a"), "x")
	f.holds(key(3, 1, "a"), "y")
}

// sweepsDuringPuts has sweeps run without pause while Puts do. A job is known from
// before its first Put until after its last Remove, as a job is; what it has stays.
func sweepsDuringPuts(f *fixture) {
	var known sync.Map
	keep := func(job string, _ uint64) (bool, error) { _, ok := known.Load(job); return ok, nil }
	ctx, stop := context.WithCancel(f.Context())
	defer stop()
	var sweepers, writers sync.WaitGroup
	var sweeps atomic.Int64
	for range 2 {
		sweepers.Go(func() {
			for ctx.Err() == nil {
				if _, err := f.s.Sweep(ctx, keep); err != nil && !errors.Is(err, context.Canceled) {
					f.Error(err)
					return
				}
				sweeps.Add(1)
			}
		})
	}
	const each = 12
	for w := range 4 {
		writers.Go(func() {
			for i := range each {
				data := noise(uint64(i), 10_000)
				first, second := key(w*each+i, 1, "a"), key(w*each+i, 1, "b")
				known.Store(first.Job, true)
				for _, k := range []artifact.Key{first, second} {
					if err := f.putFrom(k, "", bytes.NewReader(data), 0); err != nil {
						f.Error(err)
						return
					}
				}
				if got, err := f.read(f.s, first); err != nil || !bytes.Equal(got, data) {
					f.Errorf("other bytes than were put: %v", err)
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
	require.Positive(f, sweeps.Load())
	f.sweep(keep)
	require.Equal(f, 4*each, f.sweep(keepNone), "two for each job that was not forgotten")
	f.clean()
}
