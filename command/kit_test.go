//go:build unix

package command_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/command"
)

// program names, in the environment, the one of programs that this binary is to be in
// place of the tests.
const program = "COMMAND_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(program); name != "" {
		programs[name](os.Args[1:])
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// rig is a Foreman that runs from begin on, until stop or the end of the test.
type rig struct {
	*foreman.Foreman
	begin, stop func()
}

// run has a program of this binary run by a Foreman.
func run(tb testing.TB, name string, o command.Options) *rig {
	tb.Helper()
	return newRig(tb, this(tb, name, o), &foreman.Options{})
}

// this makes the options those of a program of this binary.
func this(tb testing.TB, name string, o command.Options) *command.Options {
	tb.Helper()
	self, err := os.Executable()
	require.NoError(tb, err)
	o.Path = self
	// The race detector would have each program wait for a second before it ends.
	o.Env = append(o.Env, program+"="+name, "GORACE=atexit_sleep_ms=0")
	return &o
}

func newRig(tb testing.TB, o *command.Options, fo *foreman.Options) *rig {
	tb.Helper()
	b, err := command.New(o)
	require.NoError(tb, err)
	fo.Dir, fo.Logger, fo.RetryDelay = tb.TempDir(), quiet, time.Millisecond
	f, err := foreman.New(b, fo)
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	r := &rig{Foreman: f}
	r.begin = sync.OnceFunc(func() { running.Go(func() { _ = f.Run(ctx) }) })
	r.stop = func() {
		cancel()
		running.Wait()
	}
	tb.Cleanup(func() {
		r.stop()
		require.NoError(tb, f.Close())
	})
	return r
}

func submit(tb testing.TB, f *rig, s foreman.Spec) ulid.ULID {
	tb.Helper()
	if s.Model == "" {
		s.Model = "m"
	}
	j, err := f.Submit(tb.Context(), s)
	require.NoError(tb, err)
	return j.ID
}

// await waits for the end of a job.
func await(tb testing.TB, f *rig, id ulid.ULID) *foreman.Job {
	tb.Helper()
	return watch(tb, f, id, "", func() {})
}

// watch waits for the end of a job, and calls seen once the job has printed a text.
func watch(tb testing.TB, f *rig, id ulid.ULID, text string, seen func()) *foreman.Job {
	tb.Helper()
	var output strings.Builder
	waiting := text != ""
	for e, err := range f.Watch(limited(tb), id, 0) {
		require.NoError(tb, err)
		f.begin() // now that nothing it prints is missed
		output.Write(e.Output)
		if waiting && strings.Contains(output.String(), text) {
			waiting = false
			seen()
		}
	}
	require.False(tb, waiting, "%q was not printed", text)
	j, err := f.Status(tb.Context(), id)
	require.NoError(tb, err)
	return j
}

// do runs one job to its end.
func do(tb testing.TB, f *rig, input string) *foreman.Job {
	tb.Helper()
	return await(tb, f, submit(tb, f, foreman.Spec{Input: json.RawMessage(input), MaxAttempts: 1}))
}

// limited is a context for waits that must not be for ever.
func limited(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// artifact reads an artifact of a job.
func artifact(tb testing.TB, f *rig, id ulid.ULID, name string) (text, contentType string) {
	tb.Helper()
	r, a, err := f.OpenArtifact(tb.Context(), id, name)
	require.NoError(tb, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	require.NoError(tb, err)
	return string(b), a.ContentType
}

// output is what a job has printed.
func output(tb testing.TB, f *rig, id ulid.ULID) string {
	tb.Helper()
	text, _ := artifact(tb, f, id, "output")
	return text
}

func names(j *foreman.Job) []string {
	out := []string{}
	for _, a := range j.Artifacts {
		out = append(out, a.Name)
	}
	return out
}
