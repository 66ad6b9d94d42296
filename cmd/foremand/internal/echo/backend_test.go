package echo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/cmd/foremand/internal/echo"
)

var quiet = slog.New(slog.DiscardHandler)

// run submits one job to the echo model, through all that a real model's would take,
// and returns what it ended as and how to read its artifacts.
func run(t *testing.T, input string) (*foreman.Job, func(name string) []byte) {
	t.Helper()
	b, err := echo.New(quiet)
	require.NoError(t, err)
	f, err := foreman.New(b, &foreman.Options{
		Dir: t.TempDir(), Logger: quiet, RetryDelay: time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ran)
		require.NoError(t, f.Close())
	})
	job, err := f.Submit(t.Context(), foreman.Spec{Model: echo.Model, Input: json.RawMessage(input)})
	require.NoError(t, err)
	for _, err := range f.Watch(t.Context(), job.ID, 0) {
		require.NoError(t, err)
	}
	job, err = f.Status(t.Context(), job.ID)
	require.NoError(t, err)
	return job, func(name string) []byte {
		r, _, err := f.OpenArtifact(t.Context(), job.ID, name)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return data
	}
}

func TestJob(t *testing.T) {
	job, open := run(t, `{"messages":[{"role":"user","content":"hello there"}]}`)
	require.Equal(t, foreman.Done, job.State)
	require.Equal(t, 1, job.Attempt)
	var l line
	require.NoError(t, json.Unmarshal(job.Result, &l))
	require.Equal(t, "hello there", l.Message.Content)
	require.Equal(t, model, l.Model)
	require.Len(t, job.Artifacts, 1)
	require.JSONEq(t, string(job.Result), string(open("completion")))
}

func TestOptionsThatAreNull(t *testing.T) {
	job, _ := run(t, `{"prompt":"hello","options":{"delay":null,"fail_attempts":null,"artifact_bytes":null}}`)
	require.Equal(t, foreman.Done, job.State)
	require.Len(t, job.Artifacts, 1)
}

func TestFailAttempts(t *testing.T) {
	job, _ := run(t, `{"prompt":"hello","options":{"fail_attempts":2}}`)
	require.Equal(t, foreman.Done, job.State)
	require.Equal(t, 3, job.Attempt)
	require.Nil(t, job.Error)

	job, _ = run(t, `{"prompt":"hello","options":{"fail_attempts":3}}`)
	require.Equal(t, foreman.Failed, job.State)
	require.Equal(t, foreman.BackendError, job.Error.Type)
	require.True(t, job.Error.Retryable)
	require.Equal(t, "echo: attempt 3 fails, as options.fail_attempts asks of the first 3", job.Error.Message)
}

func TestArtifactBytes(t *testing.T) {
	var cycle [256]byte
	for i := range cycle {
		cycle[i] = byte(i)
	}
	for _, tt := range []struct {
		option string
		want   int
	}{{"0", 0}, {"1", 1}, {"262145", 262145}} {
		job, open := run(t, `{"prompt":"hello","options":{"artifact_bytes":`+tt.option+`}}`)
		require.Equal(t, foreman.Done, job.State)
		require.Len(t, job.Artifacts, 2)
		blob := open("blob")
		require.Len(t, blob, tt.want)
		require.Equal(t, bytes.Repeat(cycle[:], tt.want/256+1)[:tt.want], blob)
		require.Equal(t, "application/octet-stream", job.Artifacts[1].ContentType)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for options, want := range map[string]string{
		`"fast"`:                        "echo: options must be an object",
		`{"delay":50}`:                  `echo: options.delay must be a duration such as "50ms", from 0s to 1m0s`,
		`{"delay":"61s"}`:               `echo: options.delay must be a duration such as "50ms", from 0s to 1m0s`,
		`{"delay":"-1s"}`:               `echo: options.delay must be a duration such as "50ms", from 0s to 1m0s`,
		`{"fail_attempts":101}`:         "echo: options.fail_attempts must be a whole number from 0 to 100",
		`{"fail_attempts":"2"}`:         "echo: options.fail_attempts must be a whole number from 0 to 100",
		`{"artifact_bytes":-1}`:         "echo: options.artifact_bytes must be a whole number from 0 to 1073741824",
		`{"artifact_bytes":1.5}`:        "echo: options.artifact_bytes must be a whole number from 0 to 1073741824",
		`{"artifact_bytes":1073741825}`: "echo: options.artifact_bytes must be a whole number from 0 to 1073741824",
	} {
		job, _ := run(t, `{"prompt":"hello","options":`+options+`}`)
		require.Equal(t, foreman.Failed, job.State)
		require.Equal(t, 1, job.Attempt, "not tried again")
		require.Equal(t, foreman.BackendRejected, job.Error.Type)
		require.Equal(t, want, job.Error.Message)
	}
}
