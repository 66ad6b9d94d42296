//go:build unix

package command_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

// alive reports whether a process runs. One that has ended and that nobody has waited for
// does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	if runtime.GOOS != "linux" {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// pids are those that programs have printed, one a line.
func pids(t *testing.T, printed string) []int {
	t.Helper()
	var out []int
	for line := range strings.Lines(printed) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "pid "); ok {
			pid, err := strconv.Atoi(n)
			require.NoError(t, err)
			out = append(out, pid)
		}
	}
	return out
}

// requireGone holds that nothing of the programs runs, and that this process has no child,
// which a zombie would be.
func requireGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, time.Millisecond, "process %d", pid)
	}
	_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	require.ErrorIs(t, err, syscall.ECHILD)
}

// begun runs a job, and once n programs have printed their pids calls then. It returns
// these pids when the job is over; nil if it was before they had.
func begun(t *testing.T, f *rig, s foreman.Spec, n int, then func(ulid.ULID)) (ulid.ULID, []int) {
	t.Helper()
	id := submit(t, f, s)
	var printed strings.Builder
	var found []int
	for e, err := range f.Watch(limited(t), id, 0) {
		require.NoError(t, err)
		f.begin() // now that nothing it prints is missed
		printed.Write(e.Output)
		if found == nil && strings.Count(printed.String(), "\n") == n {
			found = pids(t, printed.String())
			then(id)
		}
	}
	return id, found
}

// cancels cancels a job.
func cancels(t *testing.T, f *rig) func(ulid.ULID) {
	return func(id ulid.ULID) {
		_, err := f.Cancel(t.Context(), id)
		require.NoError(t, err)
	}
}

// Whatever ends an attempt ends the whole group, though the children do not listen to
// SIGTERM and hold the pipes, and does so long before the grace period is over.
func TestNothingIsLeft(t *testing.T) {
	check := func(t *testing.T, f *rig, id ulid.ULID, found []int) *foreman.Job {
		require.Len(t, found, 3)
		requireGone(t, found)
		require.Len(t, pids(t, output(t, f, id)), 3, "the output so far is kept")
		return await(t, f, id)
	}
	t.Run("canceled", func(t *testing.T) {
		f := run(t, "parent", command.Options{GracePeriod: time.Hour})
		id, found := begun(t, f, foreman.Spec{}, 3, cancels(t, f))
		require.Equal(t, foreman.Canceled, check(t, f, id, found).State)
	})
	// A time that is too short for the programs to begin shows nothing.
	t.Run("run_timeout", func(t *testing.T) {
		f := run(t, "parent", command.Options{GracePeriod: time.Hour})
		var id ulid.ULID
		var found []int
		for d := 250 * time.Millisecond; found == nil; d *= 2 {
			id, found = begun(t, f, foreman.Spec{RunTimeout: d, MaxAttempts: 1}, 3, func(ulid.ULID) {})
		}
		require.Equal(t, foreman.RunTimeout, check(t, f, id, found).Error.Type)
	})
	t.Run("Timeout", func(t *testing.T) {
		var f *rig
		var id ulid.ULID
		var found []int
		for d := 250 * time.Millisecond; found == nil; d *= 2 {
			f = run(t, "parent", command.Options{GracePeriod: time.Hour, Timeout: d})
			id, found = begun(t, f, foreman.Spec{MaxAttempts: 1}, 3, func(ulid.ULID) {})
		}
		j := check(t, f, id, found)
		require.Equal(t, foreman.RunTimeout, j.Error.Type)
		require.Contains(t, j.Error.Message, "took longer than its timeout of")
	})
	t.Run("a drain that takes too long", func(t *testing.T) {
		f := newRig(t, this(t, "parent", command.Options{GracePeriod: time.Hour}), &foreman.Options{DrainTimeout: time.Millisecond})
		id := submit(t, f, foreman.Spec{})
		var printed strings.Builder
		for e, err := range f.Watch(limited(t), id, 0) {
			require.NoError(t, err)
			f.begin()
			printed.Write(e.Output)
			if strings.Count(printed.String(), "\n") == 3 {
				break
			}
		}
		f.stop()
		found := pids(t, printed.String())
		require.Len(t, found, 3)
		requireGone(t, found)
		j, err := f.Status(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, foreman.Queued, j.State)
	})
}

// A program that does not listen is killed once its grace period is over.
func TestGracePeriod(t *testing.T) {
	for name, grace := range map[string]time.Duration{"short": time.Millisecond, "none": -1} {
		t.Run(name, func(t *testing.T) {
			f := run(t, "stubborn", command.Options{GracePeriod: grace})
			id, found := begun(t, f, foreman.Spec{}, 1, cancels(t, f))
			require.Len(t, found, 1)
			requireGone(t, found)
			require.Equal(t, foreman.Canceled, await(t, f, id).State)
		})
	}
}

// What a program says when it is asked to end is kept, but not that all is well.
func TestLastWords(t *testing.T) {
	f := run(t, "polite", command.Options{GracePeriod: time.Hour})
	id, found := begun(t, f, foreman.Spec{}, 1, cancels(t, f))
	require.Len(t, found, 1)
	j := await(t, f, id)
	require.Equal(t, foreman.Canceled, j.State)
	require.True(t, strings.HasSuffix(output(t, f, j.ID), "bye\n"))
	log, _ := artifact(t, f, j.ID, "log")
	require.Equal(t, "I have begun\n", log)
}

// A job ends with its program. What that leaves in its group is killed; a daemon is not,
// but holds nothing up.
func TestLeftBehind(t *testing.T) {
	t.Run("in the group", func(t *testing.T) {
		f := run(t, "leaver", command.Options{Args: []string{"group"}})
		j := do(t, f, "")
		require.Equal(t, foreman.Done, j.State)
		found := pids(t, output(t, f, j.ID))
		require.Len(t, found, 1)
		requireGone(t, found)
	})
	t.Run("as a daemon", func(t *testing.T) {
		f := run(t, "leaver", command.Options{Args: []string{"daemon"}})
		j := do(t, f, "")
		require.Equal(t, foreman.Done, j.State, "though the daemon has the pipes open")
		found := pids(t, output(t, f, j.ID))
		require.Len(t, found, 1)
		require.True(t, alive(found[0]))
		require.NoError(t, syscall.Kill(found[0], syscall.SIGKILL))
		requireGone(t, found)
	})
}

// On Linux a program does not outlive the process that runs it.
func TestProcessKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a program that its parent has died")
	}
	cmd := exec.CommandContext(limited(t), os.Args[0], t.TempDir())
	cmd.Env = append(os.Environ(), program+"=host")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 64)
	n, err := out.Read(line)
	require.NoError(t, err)
	found := pids(t, string(line[:n]))
	require.Len(t, found, 1)
	require.True(t, alive(found[0]))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	requireGone(t, found)
}
