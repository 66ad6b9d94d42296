package foreman_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store/bolt"
)

// lateSweep is an artifact store whose sweep waits, and tells when it is over.
type lateSweep struct {
	artifact.Store
	until <-chan struct{}
	swept chan<- error
}

func (s *lateSweep) Sweep(ctx context.Context, keep func(string, uint64) (bool, error)) (int, error) {
	<-s.until
	n, err := s.Store.Sweep(ctx, keep)
	s.swept <- err
	return n, err
}

// What an attempt has left whose process was killed is swept when the next one starts,
// and nothing else is, wherever the job has got to meanwhile.
func TestSweepAfterACrash(t *testing.T) {
	for _, sweptWhen := range []string{"before anybody has looked", "while the job runs again", "after the job has ended"} {
		t.Run(sweptWhen, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testSweepAfterACrash(t, sweptWhen) })
		})
	}
}

func testSweepAfterACrash(t *testing.T, sweptWhen string) {
	dir, err := artifact.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	file := t.TempDir() + "/foreman.db"
	s, err := bolt.Open(file, nil)
	require.NoError(t, err)
	g := newGate()
	b := foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		if _, err := task.Artifact("out", "", strings.NewReader("whole")); err != nil {
			return err
		}
		return g.Run(ctx, task)
	})
	f := newForeman(t, b, foreman.Options{Store: s, Artifacts: dir})
	stop := start(t, f)
	g.end <- nil
	g.end <- nil
	finished, spoiled := submit(t, f, foreman.Spec{}), submit(t, f, foreman.Spec{})
	await(t, f, finished)
	await(t, f, spoiled)
	<-g.began
	<-g.began
	stop()
	crashed := submit(t, f, foreman.Spec{})
	left := artifact.Key{Job: crashed.String(), Run: claimAndDie(t, s).Version, Name: "out"}
	_, err = dir.Put(t.Context(), left, "", strings.NewReader("torn"), 0)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	damage(t, file, "spec", spoiled)

	s, err = bolt.Open(file, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	look, letLook := latch()
	defer letLook()
	sweep, letSweep := latch()
	defer letSweep()
	swept := make(chan error, 1)
	f = newForeman(t, b, foreman.Options{
		Store:     &spied{Store: s, overdue: func() { <-look }},
		Artifacts: &lateSweep{Store: dir, until: sweep, swept: swept},
	})
	start(t, f)
	over := func() {
		letSweep()
		require.NoError(t, <-swept, "though there is a job that cannot be read")
		_, err := dir.Open(t.Context(), left)
		require.ErrorIs(t, err, artifact.ErrNotFound)
	}
	if sweptWhen == "before anybody has looked" {
		over()
	}
	letLook()
	require.Equal(t, 2, (<-g.began).Attempt)
	if sweptWhen == "while the job runs again" {
		over()
	}
	g.end <- nil
	await(t, f, crashed)
	if sweptWhen == "after the job has ended" {
		over()
	}
	for _, id := range []ulid.ULID{finished, crashed} {
		r, _, err := f.OpenArtifact(t.Context(), id, "out")
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, errors.Join(err, r.Close()))
		require.Equal(t, "whole", string(data))
	}
	r, err := dir.Open(t.Context(), artifact.Key{Job: spoiled.String(), Run: 2, Name: "out"})
	require.NoError(t, err, "perhaps all that is left of it")
	require.NoError(t, r.Close())
}
