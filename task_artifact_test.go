package foreman_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
)

// crowded is an artifact store that knows how many Puts there were at once. Each takes
// its time.
type crowded struct {
	artifact.Store
	now, most atomic.Int64
}

func (c *crowded) Put(ctx context.Context, k artifact.Key, contentType string, r io.Reader, limit int64) (artifact.Info, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	c.most.Store(max(c.most.Load(), n))
	info, err := c.Store.Put(ctx, k, contentType, r, limit)
	for range 100 {
		runtime.Gosched() // to whoever else would write
	}
	return info, err
}

// A backend may write artifacts from many goroutines: they are written one after the
// other, no more than there may be, and of one name the last one stands.
func TestArtifactsAtOnce(t *testing.T) {
	const writers, most = 8, 4
	for name, tc := range map[string]struct {
		name    func(writer int) string
		written int // without an error
		kept    int
	}{
		"of different names": {func(n int) string { return fmt.Sprint("a", n) }, most, most},
		"of one name":        {func(int) string { return "a" }, writers, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := artifact.OpenDir(t.TempDir())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, dir.Close()) })
			c := &crowded{Store: dir}
			var mu sync.Mutex
			var refused []error
			f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
				var wg sync.WaitGroup
				begin := make(chan struct{})
				for n := range writers {
					wg.Go(func() {
						<-begin
						_, err := task.Artifact(tc.name(n), "", bytes.NewReader(bytes.Repeat([]byte{byte(n)}, 1000+n)))
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							refused = append(refused, err)
						}
					})
				}
				close(begin)
				wg.Wait()
				return nil
			}), foreman.Options{Artifacts: c, Dir: t.TempDir(), MaxArtifacts: most})
			start(t, f)
			id := submit(t, f, foreman.Spec{})
			j := await(t, f, id)
			require.EqualValues(t, 1, c.most.Load(), "one at a time")
			require.Len(t, refused, writers-tc.written)
			for _, err := range refused {
				require.ErrorIs(t, err, foreman.ErrInvalid)
				require.ErrorContains(t, err, "a job has at most 4 artifacts")
			}
			require.Len(t, j.Artifacts, tc.kept)
			for _, a := range j.Artifacts {
				r, _, err := f.OpenArtifact(t.Context(), id, a.Name)
				require.NoError(t, err)
				data, err := io.ReadAll(r)
				require.NoError(t, errors.Join(err, r.Close()))
				sum := sha256.Sum256(data)
				require.Equal(t, a.SHA256, hex.EncodeToString(sum[:]), "what is listed is what is there")
				require.EqualValues(t, len(data), a.Size)
			}
		})
	}
}

// A name that is written again in an attempt stands for what was written last, whole.
func TestAnArtifactWrittenTwice(t *testing.T) {
	for name, tc := range map[string]struct {
		second io.Reader
		want   string
	}{
		"is replaced":                {strings.NewReader("second"), "second"},
		"stays when the other fails": {io.MultiReader(strings.NewReader("sec"), iotest.ErrReader(errors.New("torn"))), "first"},
		"stays when it is too large": {strings.NewReader("much too large"), "first"},
	} {
		t.Run(name, func(t *testing.T) {
			var failed error
			f := newForeman(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
				if _, err := task.Artifact("a", "text/plain", strings.NewReader("first")); err != nil {
					return err
				}
				_, failed = task.Artifact("a", "", tc.second)
				return nil
			}), foreman.Options{MaxArtifacts: 1, MaxArtifact: 8})
			start(t, f)
			id := submit(t, f, foreman.Spec{})
			j := await(t, f, id)
			require.Equal(t, foreman.Done, j.State)
			require.Equal(t, tc.want == "first", failed != nil, "%v", failed)
			require.Len(t, j.Artifacts, 1)
			require.EqualValues(t, len(tc.want), j.Artifacts[0].Size)
			r, a, err := f.OpenArtifact(t.Context(), id, "a")
			require.NoError(t, err)
			require.Equal(t, tc.want == "first", a.ContentType == "text/plain")
			data, err := io.ReadAll(r)
			require.NoError(t, errors.Join(err, r.Close()))
			require.Equal(t, tc.want, string(data))
		})
	}
}

// A backend can still keep something of an attempt that was stopped, if it says so: the
// attempt's own context has ended.
func TestAnArtifactOfAStoppedAttempt(t *testing.T) {
	var refused error
	f := newForeman(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		<-ctx.Done()
		_, refused = task.Artifact("late", "", strings.NewReader("late"))
		_, err := task.ArtifactContext(context.WithoutCancel(ctx), "log", "text/plain", strings.NewReader("so far"))
		return errors.Join(context.Cause(ctx), err)
	}), foreman.Options{})
	start(t, f)
	j := await(t, f, submit(t, f, foreman.Spec{RunTimeout: time.Millisecond, MaxAttempts: 1}))
	require.ErrorIs(t, refused, context.DeadlineExceeded)
	require.Equal(t, foreman.RunTimeout, j.Error.Type)
	require.Len(t, j.Artifacts, 1)
	require.Equal(t, "log", j.Artifacts[0].Name)
	require.EqualValues(t, len("so far"), j.Artifacts[0].Size)
}
