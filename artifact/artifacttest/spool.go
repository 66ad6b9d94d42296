package artifacttest

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

func spoolRules() []rule {
	return []rule{
		{"Spool", spool},
		{"SpoolOfNoJob", spoolOfNoJob},
		{"LargeSpool", largeSpool},
		{"SweepSpools", sweepSpools},
	}
}

func (f *fixture) spooler() artifact.Spooler {
	s, ok := f.s.(artifact.Spooler)
	if !ok {
		f.Skip("this store has no spools")
	}
	return s
}

func (f *fixture) readSpool(s artifact.Spooler, job string, attempt uint64) string {
	f.Helper()
	r, err := s.OpenSpool(job, attempt)
	require.NoError(f, err)
	data, err := io.ReadAll(r)
	require.NoError(f, errors.Join(err, r.Close()))
	return string(data)
}

// spool has what was written read while it is written, and by another store over the
// same place, as after the death of a process.
func spool(f *fixture) {
	s := f.spooler()
	job := key(1, 0, "").Job
	_, err := s.OpenSpool(job, 2)
	require.ErrorIs(f, err, artifact.ErrNotFound)
	require.NoError(f, s.RemoveSpool(job, 2), "there is none")
	w, err := s.CreateSpool(job, 2)
	require.NoError(f, err)
	require.Empty(f, f.readSpool(s, job, 2))
	_, err = s.CreateSpool(job, 2)
	require.ErrorIs(f, err, os.ErrExist)
	other, err := s.CreateSpool(job, 20)
	require.NoError(f, err)
	_, err = io.WriteString(other, "other")
	require.NoError(f, err)
	var want strings.Builder
	for _, text := range []string{"one", "two", "", "three", "4", "5", "6", "7", "8", "9", "10", "11"} {
		_, err = io.WriteString(w, text)
		require.NoError(f, err)
		want.WriteString(text)
		require.Equal(f, want.String(), f.readSpool(s, job, 2))
	}
	if !f.h.Exclusive { // nobody has closed the writer: its process is dead
		require.Equal(f, want.String(), f.readSpool(f.h.Open(f).(artifact.Spooler), job, 2))
	}
	require.NoError(f, w.Close())
	require.NoError(f, other.Close())
	require.Equal(f, want.String(), f.readSpool(s, job, 2))
	require.Zero(f, f.sweep(keepNone), "spools are swept apart")
	require.NoError(f, s.RemoveSpool(job, 2))
	_, err = s.OpenSpool(job, 2)
	require.ErrorIs(f, err, artifact.ErrNotFound)
	require.Equal(f, "other", f.readSpool(s, job, 20))
	require.NoError(f, s.RemoveSpool(job, 20))
	f.clean()
}

func spoolOfNoJob(f *fixture) {
	s := f.spooler()
	for _, job := range []string{"", "../x", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01arz3ndektsv4rrffq69g5fav"} {
		_, err := s.CreateSpool(job, 1)
		require.ErrorIs(f, err, artifact.ErrName)
		_, err = s.OpenSpool(job, 1)
		require.ErrorIs(f, err, artifact.ErrName)
		require.ErrorIs(f, s.RemoveSpool(job, 1), artifact.ErrName)
	}
}

func largeSpool(f *fixture) {
	s := f.spooler()
	job := key(1, 0, "").Job
	w, err := s.CreateSpool(job, 1)
	require.NoError(f, err)
	data := noise(1, 2_500_000)
	for _, part := range [][]byte{data[:1], data[1:2_200_000], data[2_200_000:]} {
		n, err := w.Write(part)
		require.NoError(f, err)
		require.Equal(f, len(part), n)
	}
	require.NoError(f, w.Close())
	require.True(f, string(data) == f.readSpool(s, job, 1))
	require.NoError(f, s.RemoveSpool(job, 1))
	f.clean()
}

func sweepSpools(f *fixture) {
	s := f.spooler()
	for n := 1; n <= 3; n++ {
		w, err := s.CreateSpool(key(n, 0, "").Job, uint64(n))
		require.NoError(f, err)
		for range n {
			_, err = io.WriteString(w, "x")
			require.NoError(f, err)
		}
		require.NoError(f, w.Close())
	}
	f.put(key(1, 1, "a"), "x")
	broken := errors.New("broken")
	_, err := s.SweepSpools(f.Context(), func(string, uint64) (bool, error) { return false, broken })
	require.ErrorIs(f, err, broken)
	removed, err := s.SweepSpools(f.Context(), func(job string, attempt uint64) (bool, error) {
		require.Equal(f, key(int(attempt), 0, "").Job, job)
		return attempt == 2, nil
	})
	require.NoError(f, err)
	require.Equal(f, 2, removed)
	require.Equal(f, "xx", f.readSpool(s, key(2, 0, "").Job, 2))
	_, err = s.OpenSpool(key(1, 0, "").Job, 1)
	require.ErrorIs(f, err, artifact.ErrNotFound)
	f.holds(key(1, 1, "a"), "x")
}
