package artifact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/artifact"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// open returns a store in a new directory.
func open(t testing.TB) (d *artifact.Dir, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "artifacts")
	d, err := artifact.OpenDir(path)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.True(t, d.Idle(), "every Put and Sweep has left no trace in memory")
		require.NoError(t, d.Close())
	})
	return d, path
}

// key returns the key of an artifact of the n-th job. Two jobs whose numbers
// have the last two digits in common share a shard.
func key(n int, run uint64, name string) artifact.Key {
	return artifact.Key{Job: fmt.Sprintf("01%024d", n), Run: run, Name: name}
}

// put puts an artifact that nothing is wrong with.
func put(t testing.TB, s artifact.Store, k artifact.Key, data []byte) artifact.Info {
	t.Helper()
	info, err := s.Put(t.Context(), k, "", bytes.NewReader(data), 0)
	require.NoError(t, err)
	return info
}

// get returns the bytes of an artifact.
func get(t testing.TB, s artifact.Store, k artifact.Key) []byte {
	t.Helper()
	f, err := s.Open(t.Context(), k)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	return data
}

// gone requires that there is no artifact under the key.
func gone(t testing.TB, s artifact.Store, k artifact.Key) {
	t.Helper()
	_, err := s.Open(t.Context(), k)
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

// files returns the paths of all the files in a directory, but the one that is locked.
func files(t testing.TB, dir string) []string {
	t.Helper()
	found := []string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			path, err = filepath.Rel(dir, path)
			found = append(found, filepath.ToSlash(path))
		}
		return err
	}))
	return found
}

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
