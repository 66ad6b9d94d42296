package foreman_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

const window = 256 << 10 // of output that is there for those who come late

// heard is what a watcher is told of one attempt until as much output has come as is
// wanted, or the job has ended.
func heard(t *testing.T, events iter.Seq2[foreman.Event, error], until int64) (output string, missing int64, others []string) {
	t.Helper()
	if until == 0 {
		return "", 0, nil
	}
	for e, err := range events {
		require.NoError(t, err)
		switch e.Type {
		case foreman.OutputEvent:
			output += string(e.Output)
			require.LessOrEqual(t, len(e.Output), 32<<10)
		case foreman.GapEvent:
			missing += e.Missing
		case foreman.ProgressEvent:
			others = append(others, e.Progress.Message)
		default:
			require.Zero(t, e.Offset)
			others = append(others, string(e.State))
		}
		if e.Offset == until {
			break
		}
	}
	return output, missing, others
}

// numbers is output that tells where in it one is.
func numbers(size int) string {
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "%7d\n", b.Len())
	}
	return b.String()[:size]
}

// held starts a Foreman with one job that is held by a gate.
func held(t *testing.T) (f *foreman.Foreman, g *gate, id ulid.ULID, task *foreman.Task) {
	t.Helper()
	g = newGate()
	f = newForeman(t, g, foreman.Options{RetryDelay: time.Millisecond})
	start(t, f)
	id = submit(t, f, foreman.Spec{})
	return f, g, id, <-g.began
}

func say(task *foreman.Task, text string) { _, _ = io.WriteString(task, text) }

// Whoever comes late is told what has been before, as far as it is there.
func TestALateWatcher(t *testing.T) {
	for name, tc := range map[string]struct {
		size    int
		missing int64
	}{
		"nothing yet":        {0, 0},
		"a word":             {5, 0},
		"the whole window":   {window, 0},
		"a byte more":        {window + 1, 1},
		"many times as much": {10*window + 12345, 9*window + 12345},
	} {
		t.Run(name, func(t *testing.T) {
			f, g, id, task := held(t)
			text := numbers(tc.size)
			for rest := text; rest != ""; {
				n := min(len(rest), 4321)
				say(task, rest[:n])
				rest = rest[n:]
			}
			for range 2 { // those who watch share it
				got, missing, others := heard(t, f.Watch(t.Context(), id, 0), int64(tc.size))
				require.Equal(t, tc.missing, missing)
				require.Equal(t, text[missing:], got)
				if tc.size > 0 {
					require.Equal(t, []string{"queued", "working"}, others)
				}
			}
			g.end <- nil
			await(t, f, id)
			got, missing, _ := heard(t, f.Watch(t.Context(), id, 0), -1)
			require.Empty(t, got, "who comes after the end has the artifacts")
			require.Zero(t, missing)
		})
	}
}

// Of progress the last report is told, where it belongs in the output.
func TestProgressForALateWatcher(t *testing.T) {
	f, g, id, task := held(t)
	say(task, "one")
	task.Progress(0.1, "dropped")
	say(task, "two")
	task.Progress(0.2, "the last")
	say(task, "three")
	g.end <- nil
	var got []string
	for e, err := range f.Watch(t.Context(), id, 1) {
		require.NoError(t, err)
		switch e.Type {
		case foreman.ProgressEvent:
			got = append(got, fmt.Sprint(e.Offset, e.Progress.Message))
		case foreman.OutputEvent:
			got = append(got, fmt.Sprint(e.Offset, string(e.Output)))
		}
	}
	if len(got) > 0 { // or the end was quicker
		require.Equal(t, []string{"6onetwo", "6the last", "11three"}, got)
	}
}

// From every mark that was given out, and from any byte, the output goes on without one
// lost or told twice.
func TestWatchFrom(t *testing.T) {
	f, g, id, task := held(t)
	const text = "a\u00f6\u20ac\U0001F600z"
	say(task, text)
	for from := range int64(len(text)) {
		got, missing, others := heard(t, f.WatchFrom(t.Context(), id, foreman.Mark{Sequence: 2, Offset: from}), int64(len(text)))
		require.Equal(t, text[from:], got)
		require.Zero(t, missing)
		require.Empty(t, others)
	}
	// What nobody was given, and the end of another attempt.
	for _, from := range []foreman.Mark{{Sequence: 2, Offset: -1}, {Sequence: 1, Offset: 3}, {}} {
		got, _, _ := heard(t, f.WatchFrom(t.Context(), id, from), int64(len(text)))
		require.Equal(t, text, got)
	}
	g.end <- errors.New("again")
	say(<-g.began, "second")
	got, missing, others := heard(t, f.WatchFrom(t.Context(), id, foreman.Mark{Sequence: 2, Offset: 5}), 6)
	require.Equal(t, "second", got)
	require.Zero(t, missing)
	require.Equal(t, []string{"queued", "working"}, others)
	g.end <- nil
}

// A gap does not leave half a character.
func TestAGapEndsBetweenCharacters(t *testing.T) {
	f, g, id, task := held(t)
	text := strings.Repeat("\u20ac", window/3+100) // 3 bytes each
	say(task, text)
	got, missing, _ := heard(t, f.Watch(t.Context(), id, 0), int64(len(text)))
	require.Equal(t, text[missing:], got)
	require.Zero(t, missing%3)
	require.Greater(t, len(got), window-3)
	g.end <- nil
}

// Whoever is there before a job begins is told all of it, however quickly it ends.
func TestAQuickJobIsTold(t *testing.T) {
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		say(task, task.ID.String())
		say(task, "!")
		if task.Attempt < 3 {
			return errors.New("again")
		}
		return nil
	}), foreman.Options{PerSlot: 4, RetryDelay: time.Millisecond})
	var wg sync.WaitGroup
	for range 200 {
		id := submit(t, f, foreman.Spec{})
		watching := make(chan struct{})
		wg.Go(func() {
			got := ""
			for e, err := range f.Watch(t.Context(), id, 0) {
				if err != nil {
					t.Error(err)
				}
				got += string(e.State) + string(e.Output)
				if e.Sequence == 1 {
					close(watching)
				}
			}
			// In how many pieces the output comes is not said, and what is claimed too
			// far ahead goes back.
			for strings.Contains(got, "workingqueued") {
				got = strings.ReplaceAll(got, "workingqueued", "")
			}
			want := strings.Repeat("queuedworking"+id.String()+"!", 3) + "done"
			if got != want {
				t.Errorf("%s: got %s", id, got)
			}
		})
		<-watching
	}
	start(t, f)
	wg.Wait()
}

// What a backend still writes when its attempt is over does no harm, and whoever watches
// is told the same as everybody else, up to the end.
func TestWritesAndTheEndAtOnce(t *testing.T) {
	var late sync.WaitGroup
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		for range 2 {
			late.Go(func() {
				for range 1000 {
					say(task, "0123456789")
					task.Progress(0.5, "late")
				}
			})
		}
		for range 100 {
			say(task, "0123456789")
			runtime.Gosched()
		}
		return nil
	}), foreman.Options{})
	id := submit(t, f, foreman.Spec{})
	const watchers = 8
	var wg, there sync.WaitGroup
	var got [watchers]string
	there.Add(watchers)
	for n := range watchers {
		wg.Go(func() {
			for e, err := range f.Watch(t.Context(), id, 0) {
				if err != nil {
					t.Error(err)
				}
				if e.Sequence == 1 {
					there.Done()
				}
				got[n] += string(e.Output)
				if e.State == foreman.Done {
					got[n] += "."
				}
			}
		})
	}
	there.Wait()
	start(t, f)
	wg.Wait()
	late.Wait()
	for n := range got {
		require.Equal(t, got[0], got[n])
	}
	require.GreaterOrEqual(t, len(got[0]), 1001)
	require.Empty(t, strings.ReplaceAll(strings.TrimSuffix(got[0], "."), "0123456789", ""), "whole writes, and then the end")
}

// A watcher who does not look while attempts come and go keeps the windows of a few, and
// is told how much there was of the others.
func TestAWatcherWhoDoesNotLookForManyAttempts(t *testing.T) {
	const attempts = 20
	f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
		say(task, fmt.Sprintf("attempt %2d", task.Attempt))
		return errors.New("again")
	}), foreman.Options{RetryDelay: time.Millisecond, MaxRetryDelay: time.Millisecond, MaxAttempts: attempts})
	id := submit(t, f, foreman.Spec{})
	var got []string
	missing := 0
	for e, err := range f.Watch(t.Context(), id, 0) {
		require.NoError(t, err)
		switch {
		case e.Sequence == 1:
			start(t, f)
			await(t, f, id)
		case e.Type == foreman.GapEvent:
			require.EqualValues(t, 10, e.Missing)
			missing++
			require.Equal(t, missing, e.Attempt)
		case e.Type == foreman.OutputEvent:
			got = append(got, string(e.Output))
			require.Equal(t, missing+len(got), e.Attempt)
		}
	}
	require.Equal(t, attempts-4, missing)
	require.Len(t, got, 4)
}

// A thousand watchers share what there is: they do not each keep it.
func TestAThousandWatchers(t *testing.T) {
	f, g, id, task := held(t)
	const watchers = 1000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var there, wg sync.WaitGroup
	there.Add(watchers)
	look, letLook := latch()
	defer letLook()
	var gaps, told atomic.Int64
	for range watchers {
		wg.Go(func() {
			for e, err := range f.Watch(t.Context(), id, 0) {
				if err != nil {
					t.Error(err)
				}
				switch {
				case e.State == foreman.Working:
					there.Done()
					<-look // slow
				case e.Type == foreman.GapEvent:
					gaps.Add(1)
				case e.Type == foreman.OutputEvent:
					told.Add(int64(len(e.Output)))
				}
			}
		})
	}
	there.Wait()
	text := bytes.Repeat([]byte("x"), 1<<20)
	for range 4 {
		_, _ = task.Write(text)
	}
	require.Less(t, heap()-before, int64(watchers*32<<10), "of 4 MiB each")
	g.end <- nil
	letLook()
	wg.Wait()
	require.EqualValues(t, watchers, gaps.Load())
	require.EqualValues(t, watchers*window, told.Load())
}

// BenchmarkTaskWrite is a token written while nobody watches, one or many do.
func BenchmarkTaskWrite(b *testing.B) {
	for _, watchers := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			g := newGate()
			f := newForeman(b, g, foreman.Options{})
			start(b, f)
			id := submit(b, f, foreman.Spec{})
			task := <-g.began
			ctx, cancel := context.WithCancel(b.Context())
			var there, wg sync.WaitGroup
			there.Add(watchers)
			for range watchers {
				wg.Go(func() {
					for e, err := range f.Watch(ctx, id, 0) {
						if err != nil {
							return // the end of the benchmark
						}
						if e.State == foreman.Working {
							there.Done()
						}
					}
				})
			}
			there.Wait()
			token := []byte(" token")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				_, _ = task.Write(token)
			}
			b.StopTimer()
			cancel()
			wg.Wait()
			g.end <- nil
		})
	}
}
