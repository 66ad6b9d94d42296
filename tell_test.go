package foreman_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// bucket is a store of artifacts that can be away: it says so, or says nothing.
type bucket struct {
	*artifact.Dir
	away, mute atomic.Bool
}

func openBucket(t *testing.T) *bucket {
	d, err := artifact.OpenDir(t.TempDir())
	require.NoError(t, err)
	return &bucket{Dir: d}
}

func (b *bucket) ask(ctx context.Context) error {
	if b.mute.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if b.away.Load() {
		return fmt.Errorf("bucket: %w", artifact.ErrUnavailable)
	}
	return nil
}

func (b *bucket) Open(ctx context.Context, k artifact.Key) (io.ReadSeekCloser, error) {
	if err := b.ask(ctx); err != nil {
		return nil, err
	}
	return b.Dir.Open(ctx, k)
}

// teller is a Foreman over a bucket, whose webhooks are not sent, but looked at.
type teller struct {
	*foreman.Foreman
	bucket *bucket
	mu     sync.Mutex
	told   map[ulid.ULID]json.RawMessage // the artifacts in the last webhook of each job
}

func newTeller(t *testing.T, b foreman.Backend, o foreman.Options) *teller {
	x := &teller{bucket: openBucket(t), told: map[ulid.ULID]json.RawMessage{}}
	o.Artifacts, o.Webhook.Guard = x.bucket, loopback
	o.Store = &spied{Store: openStore(t), changing: func(changes []store.Change) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for i := range changes {
			for _, d := range changes[i].Deliveries {
				var e struct{ Artifacts json.RawMessage }
				if json.Unmarshal(d.Body, &e) == nil {
					x.told[changes[i].Head.ID] = e.Artifacts
				}
			}
			changes[i].Deliveries = nil
		}
	}}
	x.Foreman = newForeman(t, b, o)
	return x
}

func (x *teller) tells(id ulid.ULID) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return string(x.told[id])
}

// writes is a backend that writes an artifact, and then takes the bucket away by take, if
// its model says so.
func writes(take func()) foreman.BackendFunc {
	return func(_ context.Context, task *foreman.Task) error {
		_, err := task.Artifact("out", "text/plain", strings.NewReader("made of work"))
		if task.Spec.Model == "last" {
			take()
		}
		return err
	}
}

var toldOnce = foreman.Spec{Model: "last", MaxAttempts: 1, StateWebhookURL: "http://127.0.0.1:8080/", WebhookEvents: []foreman.State{foreman.Done, foreman.Failed}}

// A job whose artifacts cannot be read when it ends waits for them, beyond its lease, and
// nobody waits with it. After a minute it ends all the same.
func TestEndsWaitForTheBucket(t *testing.T) {
	for name, take := range map[string]func(b *bucket, away bool){
		"away": func(b *bucket, away bool) { b.away.Store(away) },
		"mute": func(b *bucket, away bool) { b.mute.Store(away) },
	} {
		for outage, tc := range map[string]struct {
			lasts, within time.Duration
			told          string
		}{
			"short": {30 * time.Second, 36 * time.Second, `"data":"made of work"`},
			"long":  {time.Hour, 61 * time.Second, `"url":"/jobs/`},
		} {
			t.Run(name+" for a "+outage+" time", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var x *teller
					x = newTeller(t, writes(func() { take(x.bucket, true) }), foreman.Options{})
					start(t, x.Foreman)
					begun := time.Now()
					time.AfterFunc(tc.lasts, func() { take(x.bucket, false) })
					id := submit(t, x.Foreman, toldOnce)
					time.Sleep(time.Second)
					other := submit(t, x.Foreman, foreman.Spec{})
					time.Sleep(time.Second)
					require.Equal(t, foreman.Working, status(t, x.Foreman, id).State)
					require.Equal(t, foreman.Done, status(t, x.Foreman, other).State)
					j := await(t, x.Foreman, id)
					require.Equal(t, foreman.Done, j.State)
					require.Equal(t, 1, j.Attempt)
					require.LessOrEqual(t, time.Since(begun), tc.within)
					require.Contains(t, x.tells(id), tc.told)
					take(x.bucket, false)
				})
			})
		}
	}
}

// The end of Run loses nothing of what is done.
func TestEndsDoNotWaitForTheBucketAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x *teller
		x = newTeller(t, writes(func() { x.bucket.mute.Store(true) }), foreman.Options{})
		stop := start(t, x.Foreman)
		id := submit(t, x.Foreman, toldOnce)
		time.Sleep(time.Second)
		stop()
		require.Equal(t, foreman.Done, status(t, x.Foreman, id).State)
		require.Contains(t, x.tells(id), `"url":"/jobs/`)
	})
}

// Data that is lost keeps no job from its end.
func TestEndsWithArtifactsThatAreLost(t *testing.T) {
	var x *teller
	x = newTeller(t, foreman.BackendFunc(func(ctx context.Context, task *foreman.Task) error {
		if _, err := task.Artifact("out", "", strings.NewReader("x")); err != nil {
			return err
		}
		_, err := x.bucket.Sweep(ctx, func(string, uint64) (bool, error) { return false, nil })
		return err
	}), foreman.Options{})
	start(t, x.Foreman)
	id := submit(t, x.Foreman, toldOnce)
	require.Equal(t, foreman.Done, await(t, x.Foreman, id).State)
	require.Contains(t, x.tells(id), `"data_removed":true`)
}

// A job that waits in the queue, with what an attempt has left, is not canceled while that
// cannot be told of, and nothing has happened. If it is overdue, it waits for a minute.
func TestQueuedJobsWhileTheBucketIsAway(t *testing.T) {
	queued := func(t *testing.T) (*teller, ulid.ULID) {
		x := newTeller(t, foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
			_, _ = io.WriteString(task, "half")
			return errors.New("broken off")
		}), foreman.Options{RetryDelay: time.Second, MaxRetryDelay: time.Second})
		start(t, x.Foreman)
		s := toldOnce
		s.MaxAttempts, s.WebhookEvents, s.QueueTimeout = 2, []foreman.State{foreman.Canceled, foreman.Failed}, time.Hour
		id := submit(t, x.Foreman, s)
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, x.Pause(t.Context()))
		require.Equal(t, foreman.Queued, status(t, x.Foreman, id).State)
		return x, id
	}
	t.Run("canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, id := queued(t)
			before := status(t, x.Foreman, id)
			for _, away := range []*atomic.Bool{&x.bucket.away, &x.bucket.mute} {
				away.Store(true)
				_, err := x.Cancel(t.Context(), id)
				require.ErrorIs(t, err, foreman.ErrUnavailable)
				require.Equal(t, before.Sequence, status(t, x.Foreman, id).Sequence)
				away.Store(false)
			}
			require.Equal(t, foreman.Canceled, cancel(t, x.Foreman, id).State)
			require.Contains(t, x.tells(id), `"data":"half"`)
		})
	})
	t.Run("overdue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, id := queued(t)
			x.bucket.away.Store(true)
			time.Sleep(time.Hour + 50*time.Second)
			require.Equal(t, foreman.Queued, status(t, x.Foreman, id).State)
			time.Sleep(20 * time.Second)
			require.Equal(t, foreman.Failed, status(t, x.Foreman, id).State)
			require.Contains(t, x.tells(id), `"url":"/jobs/`)
		})
	})
}

// A bucket that is away is not a fault of the server, whatever asks for artifacts.
func TestAnswersWhileTheBucketIsAway(t *testing.T) {
	x := newTeller(t, writes(nil), foreman.Options{})
	start(t, x.Foreman)
	id := submit(t, x.Foreman, foreman.Spec{})
	await(t, x.Foreman, id)
	x.bucket.away.Store(true)
	a := newAPI(t, x.Foreman)
	for _, path := range []string{"", "/artifacts", "/artifacts/out"} {
		r := a.get("/jobs/"+id.String()+path).fails(http.StatusServiceUnavailable, foreman.ErrUnavailable)
		require.Equal(t, "5", r.header.Get("Retry-After"))
	}
	x.bucket.away.Store(false)
	require.Contains(t, string(a.get("/jobs/"+id.String()).is(http.StatusOK).body), `"data":"made of work"`)
}
