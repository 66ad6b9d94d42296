package foreman_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

// TestCrashLeavesThePartialOutput kills a process with SIGKILL in the middle of two
// answers, one that comes slowly and one that comes fast, and finds what had been
// generated when it is started again, until another attempt has the whole.
func TestCrashLeavesThePartialOutput(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		generatingChild(dir)
	}
	dir := t.TempDir()
	cmd := childOf(t, crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var ids []ulid.ULID
	lines := bufio.NewScanner(out)
	for len(ids) < 2 && lines.Scan() {
		id, err := ulid.ParseStrict(lines.Text())
		require.NoError(t, err, lines.Text())
		ids = append(ids, id)
	}
	require.Len(t, ids, 2)
	require.Eventually(t, func() bool {
		return spooled(t, dir, ids[0]) > 0 && spooled(t, dir, ids[1]) > 1<<20
	}, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "it was killed")
	had := spooled(t, dir, ids[1])

	g := newGate()
	f := newForeman(t, g, foreman.Options{Dir: dir, PerSlot: 2, RetryDelay: time.Hour})
	start(t, f)
	a := newAPI(t, f)
	tasks := []*foreman.Task{<-g.began, <-g.began} // interrupted, queued again, and begun
	for n, id := range ids {
		require.Equal(t, 2, tasks[n].Attempt)
		contentType, data := partial(t, f, id)
		require.Equal(t, plainText, contentType)
		require.True(t, strings.HasPrefix(data, generated[:10]), "%.20q", data)
		for rest := data; rest != ""; {
			k := min(len(rest), len(generated))
			require.Equal(t, generated[:k], rest[:k])
			rest = rest[k:]
		}
		if n == 1 {
			require.GreaterOrEqual(t, int64(len(data)), had-3)
		}
		r := a.get("/jobs/" + id.String() + "/artifacts/partial").is(http.StatusOK)
		require.Equal(t, data, string(r.body))
	}
	require.Len(t, left(t, dir), 2, "no spool")
	g.end <- nil
	g.end <- nil
	for _, id := range ids {
		require.Empty(t, await(t, f, id).Artifacts)
	}
	require.Eventually(t, func() bool { return len(left(t, dir)) == 0 }, 30*time.Second, time.Millisecond, "removed once the ends are stored")
}

// generated is what the backend of the child says again and again.
const generated = "what was generated, caf\u00e9 \u20ac \U0001F600\n"

// spooled is how much of the output of the first attempt at a job is in its file.
func spooled(t *testing.T, dir string, id ulid.ULID) int64 {
	fi, err := os.Stat(filepath.Join(dir, "artifacts", "spool", id.String()+"-2"))
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
		return 0
	}
	return fi.Size()
}

// generatingChild runs two jobs that do not end, prints their ids, and waits to be
// killed.
func generatingChild(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := foreman.New(foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		if string(task.Spec.Input) == `"slow"` {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				<-tick.C
				k := i % len(generated)
				say(task, generated[k:k+1])
			}
			return ctx.Err()
		}
		for range 2 << 20 / len(generated) { // some characters are cut by the batches of the file
			say(task, generated)
		}
		<-ctx.Done()
		return ctx.Err()
	}), &foreman.Options{Dir: dir, PerSlot: 2, Logger: quiet})
	if err == nil {
		go func() { _ = f.Run(ctx) }()
		for _, input := range []string{`"slow"`, `"fast"`} {
			j, failed := f.Submit(ctx, foreman.Spec{Model: "m", Input: []byte(input)})
			if err = failed; err == nil {
				_, _ = fmt.Println(j.ID)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ctx.Done()
	os.Exit(0)
}

// What a process that was killed has left is salvaged by whoever looks after its job,
// whatever the sweep of the same start does meanwhile; and what belongs to no attempt any
// more is swept.
func TestSpoolsAfterACrash(t *testing.T) {
	for name, tc := range map[string]struct{ cancel, sweptFirst bool }{
		"swept first":        {false, true},
		"swept then":         {false, false},
		"asked to stop":      {true, false},
		"and is swept first": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir, err := artifact.OpenDir(filepath.Join(root, "artifacts"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, dir.Close()) })
			s := openStore(t)
			f := newForeman(t, newGate(), foreman.Options{Store: s, Artifacts: dir, Dir: root})
			id := submit(t, f, foreman.Spec{})
			over := canceled(t, f, submit(t, f, foreman.Spec{Model: "other"}))
			dead := claimAndDie(t, s)
			if tc.cancel {
				_, err := f.Cancel(t.Context(), id)
				require.NoError(t, err)
			}
			for _, spool := range []struct {
				job     ulid.ULID
				attempt uint64
			}{{id, dead.Seq}, {id, dead.Seq + 2}, {over, 2}, {ulid.Make(), 2}} {
				w, err := dir.CreateSpool(spool.job.String(), spool.attempt)
				require.NoError(t, err)
				_, err = w.Write([]byte("left"))
				require.NoError(t, err)
				require.NoError(t, w.Close())
			}
			look, letLook := latch()
			defer letLook()
			sweep, letSweep := latch()
			defer letSweep()
			swept := make(chan error, 1)
			f = newForeman(t, newGate(), foreman.Options{
				Store: &spied{Store: s, overdue: func() { <-look }}, Dir: root,
				Artifacts: &lateSpools{Dir: dir, until: sweep, swept: swept},
			})
			start(t, f)
			if tc.sweptFirst {
				letSweep()
				require.NoError(t, <-swept)
				require.Equal(t, []string{id.String() + "-2"}, left(t, root))
			}
			letLook()
			for e, err := range f.Watch(t.Context(), id, 2) {
				require.NoError(t, err)
				if e.State == foreman.Canceled || e.State == foreman.Queued {
					break
				}
			}
			letSweep()
			if !tc.sweptFirst {
				require.NoError(t, <-swept)
			}
			_, data := partial(t, f, id)
			require.Equal(t, "left", data)
			require.Eventually(t, func() bool { return len(left(t, root)) == 1 }, 10*time.Second, time.Millisecond)
		})
	}
}

// lateSpools is lateSweep for a store that has spools too.
type lateSpools struct {
	*artifact.Dir
	until <-chan struct{}
	swept chan<- error
}

func (s *lateSpools) Sweep(ctx context.Context, keep func(string, uint64) (bool, error)) (int, error) {
	<-s.until
	return s.Dir.Sweep(ctx, keep)
}

func (s *lateSpools) SweepSpools(ctx context.Context, keep func(string, uint64) (bool, error)) (int, error) {
	n, err := s.Dir.SweepSpools(ctx, keep)
	s.swept <- err
	return n, err
}
