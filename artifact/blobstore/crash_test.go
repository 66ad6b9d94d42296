package blobstore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/internal/s3test"
)

// writerURL is set in the environment of a process that is to do nothing but put
// artifacts into the bucket that it names, until it is killed.
const writerURL = "BLOBSTORE_TEST_WRITER_URL"

// crashData is what the n-th artifact holds: from a few bytes to a few MiB.
func crashData(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n*n*7919%3_000_000) }

// writeUntilKilled prints the number of each artifact once it is acknowledged. One
// more Put is under way from the start and never ends.
func writeUntilKilled(url string) {
	ctx := context.Background()
	s, err := blobstore.Open(ctx, url, nil)
	if err != nil {
		panic(err)
	}
	go func() {
		r := io.MultiReader(bytes.NewReader(make([]byte, 20<<20)), readerFunc(func([]byte) (int, error) { select {} }))
		_, _ = s.Put(ctx, key(0, 1, "stuck"), "", r, 0)
	}()
	for n := 1; ; n++ {
		if _, err := s.Put(ctx, key(n, 1, "a"), "", bytes.NewReader(crashData(n)), 0); err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}

// A process that puts artifacts is killed, while this one sweeps and knows of no job:
// what was acknowledged is there, whole, and what was not is whole or not there.
func TestCrash(t *testing.T) {
	if url := os.Getenv(writerURL); url != "" {
		writeUntilKilled(url)
	}
	dir := t.TempDir()
	for name, url := range map[string]string{
		"file": "file://" + filepath.ToSlash(dir),
		"s3":   s3test.Start(t).Bucket(t, "artifacts"),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, url, nil)
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestCrash$")
			cmd.Env = append(os.Environ(), writerURL+"="+url)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			acknowledged := 0
			const enough = 25
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				acknowledged, err = strconv.Atoi(strings.TrimSpace(lines.Text()))
				require.NoError(t, err, lines.Text())
				if acknowledged == enough {
					require.NoError(t, cmd.Process.Kill())
				}
				removed, err := s.Sweep(t.Context(), keepNone)
				require.NoError(t, err)
				require.Zero(t, removed)
			}
			require.Error(t, cmd.Wait(), "it was killed")
			require.GreaterOrEqual(t, acknowledged, enough)

			for n := 1; n <= acknowledged; n++ {
				require.True(t, string(crashData(n)) == get(t, s, key(n, 1, "a")), "artifact %d", n)
			}
			whole := acknowledged
			if r, err := s.Open(t.Context(), key(whole+1, 1, "a")); err == nil { // nobody was told
				require.NoError(t, r.Close())
				whole++
				require.True(t, string(crashData(whole)) == get(t, s, key(whole, 1, "a")))
			}
			for _, k := range []artifact.Key{key(whole+1, 1, "a"), key(0, 1, "stuck")} {
				_, err = s.Open(t.Context(), k)
				require.True(t, errors.Is(err, artifact.ErrNotFound), "%v", err)
			}
			removed, err := open(t, url, alone).Sweep(t.Context(), keepNone)
			require.NoError(t, err)
			require.GreaterOrEqual(t, removed, whole)
			if name == "file" { // what was unfinished went too
				left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
				require.NoError(t, err)
				require.Empty(t, left)
			}
		})
	}
}
