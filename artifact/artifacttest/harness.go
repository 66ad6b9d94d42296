// Package artifacttest proves that an implementation of [artifact.Store] keeps the
// contract of package artifact, and, if it is an [artifact.Spooler] or [artifact.Owned],
// that of spools and of owners:
// the bytes, the errors, what a Put that fails leaves, what readers see of changes,
// and sweeps beside Puts.
//
// A test of a store is one call:
//
//	func TestStore(t *testing.T) {
//		artifacttest.Run(t, func(tb testing.TB) artifacttest.Harness {
//			dir := tb.TempDir()
//			return artifacttest.Harness{
//				Open: func(tb testing.TB) artifact.Store { return mystore.Open(dir) },
//			}
//		})
//	}
//
// The suite uses real time, and waits for what happens, never for a fixed while. It
// has its stores swept at once: one that leaves alone what was put lately has to be
// opened with that time at nothing.
package artifacttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

// Harness tells the suite how to make a store.
type Harness struct {
	// Open returns a store over the place of this harness, and registers with tb
	// what closes it. It may be called again, for a store as another process would
	// have it, or one that is opened later. Required.
	Open func(tb testing.TB) artifact.Store
	// Pinned says that a reader reads on in what it has opened, though it was
	// replaced or removed. Default: it may fail instead.
	Pinned bool
	// Exclusive says that one store at a time can be open. Default: several.
	Exclusive bool
	// Leftovers returns what there is at the place beside whole artifacts, and what the
	// store always has there: parts that a Put has left. Default: not looked at.
	Leftovers func(tb testing.TB) []string
}

// Run proves every rule of the contract, each as a subtest with a place of its own
// that newHarness makes.
func Run(t *testing.T, newHarness func(testing.TB) Harness) {
	for _, g := range []struct {
		name  string
		rules []rule
	}{
		{"Keys", keyRules()},
		{"Put", putRules()},
		{"Open", openRules()},
		{"Remove", removeRules()},
		{"Sweep", sweepRules()},
		{"Spool", spoolRules()},
		{"Owner", ownerRules()},
	} {
		t.Run(g.name, func(t *testing.T) {
			for _, r := range g.rules {
				t.Run(r.name, func(t *testing.T) {
					h := newHarness(t)
					r.test(&fixture{T: t, h: h, s: h.Open(t)})
				})
			}
		})
	}
}

// rule is one rule of the contract.
type rule struct {
	name string
	test func(*fixture)
}

// fixture is what the test of a rule has.
type fixture struct {
	*testing.T
	h Harness
	s artifact.Store
}

// key returns the key of an artifact of the n-th job.
func key(n int, run uint64, name string) artifact.Key {
	return artifact.Key{Job: fmt.Sprintf("01%024d", n), Run: run, Name: name}
}

// put puts an artifact that nothing is wrong with.
func (f *fixture) put(k artifact.Key, data string) artifact.Info {
	f.Helper()
	info, err := f.s.Put(f.Context(), k, "", bytes.NewReader([]byte(data)), 0)
	require.NoError(f, err)
	return info
}

// get returns the bytes of an artifact.
func (f *fixture) get(s artifact.Store, k artifact.Key) []byte {
	f.Helper()
	data, err := f.read(s, k)
	require.NoError(f, err, "%v", k)
	return data
}

// read returns the bytes of an artifact, or the error in getting them.
func (f *fixture) read(s artifact.Store, k artifact.Key) ([]byte, error) {
	r, err := s.Open(f.Context(), k)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if e := r.Close(); err == nil {
		err = e
	}
	return data, err
}

// holds requires that the artifact has these bytes.
func (f *fixture) holds(k artifact.Key, data string) {
	f.Helper()
	require.Equal(f, data, string(f.get(f.s, k)), "%v", k)
}

// gone requires that there is no artifact under the key.
func (f *fixture) gone(k artifact.Key) {
	f.Helper()
	_, err := f.s.Open(f.Context(), k)
	require.ErrorIs(f, err, artifact.ErrNotFound, "%v", k)
}

// clean requires that nothing was left but whole artifacts.
func (f *fixture) clean() {
	f.Helper()
	if f.h.Leftovers != nil {
		require.Empty(f, f.h.Leftovers(f))
	}
}

// sweep sweeps, and returns how much was removed.
func (f *fixture) sweep(keep func(string, uint64) (bool, error)) int {
	f.Helper()
	removed, err := f.s.Sweep(f.Context(), keep)
	require.NoError(f, err)
	return removed
}

func keepNone(string, uint64) (bool, error) { return false, nil }

// noise returns bytes that are the same for the same seed.
func noise(seed uint64, size int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(data)
	return data
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readerFunc makes a function a reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
