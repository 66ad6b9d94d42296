package foreman_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

var crashRounds = flag.Int("crash.rounds", 4, "how often a test of crashes kills its child")

const (
	crashDir  = "FOREMAN_CRASH_DIR"
	crashHook = "FOREMAN_CRASH_HOOK"
)

// crashBackend does a little of everything that a crash can cut in two.
var crashBackend = foreman.BackendFunc(func(_ context.Context, t *foreman.Task) error {
	if _, err := t.Artifact("out", "", bytes.NewReader(t.Spec.Input)); err != nil {
		return err
	}
	if t.Attempt == 1 && t.ID[15]%8 == 0 {
		return fmt.Errorf("one in eight fails once")
	}
	return t.SetResult(t.Spec.Input)
})

func crashOptions(dir string) foreman.Options {
	return foreman.Options{
		Dir: dir, PerSlot: 8, RetryDelay: time.Millisecond, MaxAttempts: 100,
		Webhook: foreman.WebhookOptions{Guard: loopback, Secret: "crash test secret"},
	}
}

// TestCrash kills a process with SIGKILL in the middle of submitting, running and
// delivering, again and again over the same directory, and then finds every job that
// was acknowledged ended well once, with every event delivered, in order.
func TestCrash(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir, os.Getenv(crashHook))
	}
	dir := t.TempDir()
	hook := newReceiver(t, "crash test secret")
	var acknowledged []ulid.ULID
	for round := range *crashRounds {
		ids := killedChild(t, dir, hook.URL, 20+rand.IntN(300))
		t.Logf("round %d: %d jobs acknowledged", round, len(ids))
		acknowledged = append(acknowledged, ids...)
	}

	f := newForeman(t, crashBackend, crashOptions(dir))
	start(t, f)
	for _, id := range acknowledged {
		j := await(t, f, id)
		require.Equal(t, foreman.Done, j.State)
		require.Equal(t, string(j.Spec.Input), string(j.Result))
		require.Len(t, j.Artifacts, 1)
		r, _, err := f.OpenArtifact(t.Context(), id, "out")
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	committed := map[ulid.ULID][]foreman.State{}
	for _, j := range everyJob(t, f) {
		if !j.State.Terminal() {
			await(t, f, j.ID) // submitted, but killed before it could say so
		}
		committed[j.ID] = states(t, f, j.ID)
		n := 0
		for _, s := range committed[j.ID] {
			if s == foreman.Done {
				n++
			}
		}
		require.Equal(t, 1, n, "done once: %v", committed[j.ID])
	}
	for _, id := range acknowledged {
		require.Contains(t, committed, id)
	}
	require.Eventually(t, func() bool {
		return delivered(t, hook.wait(t, 0), committed)
	}, time.Minute, 20*time.Millisecond, "every event delivered")
}

// delivered reports whether every event has come, and requires that those of a job
// came in order the first time.
func delivered(t *testing.T, got []webhook.Event, committed map[ulid.ULID][]foreman.State) bool {
	highest := map[string]uint64{}
	for _, e := range got {
		if e.Sequence > highest[e.JobID] {
			require.Equal(t, highest[e.JobID]+1, e.Sequence, "out of order: %s", e.JobID)
			highest[e.JobID] = e.Sequence
		}
	}
	for id, states := range committed {
		if highest[id.String()] != uint64(len(states)) {
			return false
		}
	}
	return true
}

func everyJob(t *testing.T, f *foreman.Foreman) []*foreman.Job {
	var all []*foreman.Job
	for q := (foreman.Query{Limit: 1000}); ; {
		page, err := f.List(t.Context(), q)
		require.NoError(t, err)
		all = append(all, page.Jobs...)
		if q.Before = page.Next; page.Next.IsZero() {
			return all
		}
	}
}

// childOf is this test in a process of its own, told by its environment that it is one.
func childOf(t *testing.T, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// killedChild starts a child, kills it when it has acknowledged n jobs, and returns
// the ids that it printed.
func killedChild(t *testing.T, dir, hook string, n int) []ulid.ULID {
	cmd := childOf(t, crashDir+"="+dir, crashHook+"="+hook)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var ids []ulid.ULID
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, err := ulid.ParseStrict(lines.Text())
		require.NoError(t, err, lines.Text())
		ids = append(ids, id)
		if len(ids) == n {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait(), "it was killed")
	require.GreaterOrEqual(t, len(ids), n)
	return ids
}

// crashChild submits from many goroutines and prints what was acknowledged, until it
// is killed.
func crashChild(dir, hook string) {
	o := crashOptions(dir)
	o.Logger = quiet
	f, err := foreman.New(crashBackend, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Run(ctx) })
	var stdout sync.Mutex
	for n := range 16 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				j, err := f.Submit(ctx, foreman.Spec{
					Model: "m", Input: fmt.Appendf(nil, `"%d/%d"`, n, i), StateWebhookURL: hook,
				})
				if err != nil {
					continue
				}
				stdout.Lock()
				_, _ = fmt.Println(j.ID)
				stdout.Unlock()
			}
		})
	}
	wg.Wait()
	os.Exit(0)
}
