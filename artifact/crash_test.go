package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/artifact"
)

// writerDir is set in the environment of a process that is to do nothing but
// put artifacts into the directory it names, until it is killed.
const writerDir = "ARTIFACT_TEST_WRITER_DIR"

// crashSize is the size of the n-th artifact: from a few bytes to some chunks.
func crashSize(n int) int { return n * n * 7919 % 600_000 }

// writeUntilKilled prints the number of each artifact once it is acknowledged.
// One more Put is under way from the start and never ends.
func writeUntilKilled(dir string) {
	d, err := artifact.OpenDir(dir)
	if err != nil {
		panic(err)
	}
	started := make(chan struct{})
	go func() {
		reads := 0
		_, _ = d.Put(context.Background(), key(0, 1, "stuck"), "", readerFunc(func(p []byte) (int, error) {
			if reads++; reads == 2 {
				close(started)
				select {}
			}
			return len(p), nil
		}), 0)
	}()
	<-started
	numbers := make(chan int)
	for range 4 {
		go func() {
			for n := range numbers {
				k := key(n, 1, fmt.Sprintf("artifact-%d", n))
				info, err := d.Put(context.Background(), k, "", bytes.NewReader(noise(uint64(n), crashSize(n))), 0)
				if err != nil {
					panic(err)
				}
				fmt.Printf("%d %s\n", n, info.SHA256)
			}
		}()
	}
	for n := range 100_000 {
		numbers <- n
	}
}

// What was acknowledged before the process is killed is there afterwards, and
// what was not is either whole or not there.
func TestKill(t *testing.T) {
	numbered := regexp.MustCompile(`-1-artifact-([0-9]+)$`)
	for round := range 3 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			dir := t.TempDir()
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), writerDir+"="+dir)
			child.Stderr = os.Stderr
			out, err := child.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, child.Start())

			acknowledged := map[int]string{}
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				var n int
				var sum string
				_, err := fmt.Sscanf(lines.Text(), "%d %s", &n, &sum)
				require.NoError(t, err)
				acknowledged[n] = sum
				if len(acknowledged) == 20+10*round {
					require.NoError(t, child.Process.Kill())
				}
			}
			require.Error(t, child.Wait(), "it was killed")
			require.GreaterOrEqual(t, len(acknowledged), 20+10*round)

			d, err := artifact.OpenDir(dir)
			require.NoError(t, err)
			defer func() { require.NoError(t, d.Close()) }()
			for n, sum := range acknowledged {
				data := get(t, d, key(n, 1, fmt.Sprintf("artifact-%d", n)))
				require.Equal(t, sum, hashOf(data))
				require.Equal(t, noise(uint64(n), crashSize(n)), data)
			}
			temps := files(t, filepath.Join(dir, "tmp"))
			require.NotEmpty(t, temps, "at least that of the Put that never ends")
			named := 0
			for _, file := range files(t, dir) {
				if filepath.Dir(file) == "tmp" {
					continue
				}
				named++
				match := numbered.FindStringSubmatch(file)
				require.NotNil(t, match, file)
				n, err := strconv.Atoi(match[1])
				require.NoError(t, err)
				data, err := os.ReadFile(filepath.Join(dir, file))
				require.NoError(t, err)
				require.Equal(t, hashOf(noise(uint64(n), crashSize(n))), hashOf(data), "%s is not whole", file)
			}

			removed, err := d.Sweep(t.Context(), func(string, uint64) (bool, error) { return true, nil })
			require.NoError(t, err)
			require.Equal(t, len(temps), removed)
			require.Empty(t, files(t, filepath.Join(dir, "tmp")))
			require.Len(t, files(t, dir), named)
		})
	}
}
