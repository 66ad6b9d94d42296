package foreman_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store/bolt"
)

// damage spoils what a file has of a job: its head, its spec, or its outcome.
func damage(t *testing.T, file, what string, id ulid.ULID) {
	t.Helper()
	db, err := bbolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		b, key := tx.Bucket([]byte("heads")), id[:]
		if what != "head" {
			b = tx.Bucket([]byte("log"))
			key = blobs(b, id)[map[string]int{"spec": 0, "outcome": 1}[what]]
		}
		v := bytes.Clone(b.Get(key))
		v[0] ^= 1
		return b.Put(key, v)
	}))
	require.NoError(t, db.Close())
}

// blobs are the keys of the blobs of a job. Each is before an event of the job, and has
// a longer key.
func blobs(log *bbolt.Bucket, id ulid.ULID) (keys [][]byte) {
	var before []byte
	c := log.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) == 8 && bytes.HasPrefix(v, id[:]) && len(before) == 9 {
			keys = append(keys, before)
		}
		before = bytes.Clone(k)
	}
	return keys
}

// A job that is overdue, longer than any other, and cannot be read keeps nobody behind
// it waiting, and neither the reaper nor the desk from its sleep.
func TestTheReaperGoesPastWhatItCannotRead(t *testing.T) {
	for name, tc := range map[string]struct {
		what   string
		state  foreman.State   // when it is damaged
		states []foreman.State // in the end, if its changes can be read
	}{
		"the head of a queued job":    {"head", foreman.Queued, nil},
		"the head of a working job":   {"head", foreman.Working, nil},
		"the head of an ended job":    {"head", foreman.Done, nil},
		"the spec of a queued job":    {"spec", foreman.Queued, []foreman.State{foreman.Queued, foreman.Failed}},
		"the spec of a working job":   {"spec", foreman.Working, []foreman.State{foreman.Queued, foreman.Working, foreman.Failed}},
		"the spec of an ended job":    {"spec", foreman.Done, []foreman.State{foreman.Queued, foreman.Working, foreman.Done}},
		"the outcome of an ended job": {"outcome", foreman.Done, []foreman.State{foreman.Queued, foreman.Working, foreman.Done}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := foreman.Options{Dir: t.TempDir(), JobTTL: 20 * time.Minute, ArtifactTTL: 5 * time.Minute}
				file := o.Dir + "/foreman.db"
				b := foreman.BackendFunc(func(_ context.Context, task *foreman.Task) error {
					_, err := task.Artifact("a", "", bytes.NewReader([]byte("x")))
					return err
				})
				f := newForeman(t, b, o)
				damaged := submit(t, f, foreman.Spec{QueueTimeout: time.Minute})
				if tc.state == foreman.Done {
					stop := start(t, f)
					await(t, f, damaged)
					stop()
				}
				require.NoError(t, f.Close())
				if tc.state == foreman.Working {
					s, err := bolt.Open(file, nil)
					require.NoError(t, err)
					claimAndDie(t, s)
					require.NoError(t, s.Close())
				}
				damage(t, file, tc.what, damaged)
				time.Sleep(10 * time.Minute) // the bubble's clock
				s, err := bolt.Open(file, nil)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				var looked atomic.Int64
				o.Store = &spied{Store: s, overdue: func() { looked.Add(1) }}
				f = newForeman(t, b, o)
				waiting := submit(t, f, foreman.Spec{QueueTimeout: time.Minute})
				time.Sleep(2 * time.Minute)
				start(t, f)
				require.Equal(t, foreman.QueueTimeout, await(t, f, waiting).Error.Type)
				later := submit(t, f, foreman.Spec{RunAt: time.Now().Add(time.Minute), QueueTimeout: time.Minute})
				require.Equal(t, foreman.Done, await(t, f, later).State)
				require.Less(t, looked.Load(), int64(80), "once a second, and no more")
				if tc.states == nil {
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var got []foreman.State
				for e, err := range f.Watch(ctx, damaged, 0) {
					require.NoError(t, err)
					got = append(got, e.State)
				}
				require.Equal(t, tc.states, got)
				time.Sleep(20 * time.Minute)
				_, err = f.Status(t.Context(), damaged)
				require.ErrorIs(t, err, foreman.ErrNotFound, "its time is over")
			})
		})
	}
}

// The same of a job on which the store fails, until it does so no more.
func TestTheReaperGoesPastWhatTheStoreFailsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing ulid.ULID
		var broken atomic.Bool
		var looked atomic.Int64
		broken.Store(true)
		s := &spied{
			Store:   openStore(t),
			overdue: func() { looked.Add(1) },
			got: func(_ context.Context, id ulid.ULID) error {
				if id == failing && broken.Load() {
					return errors.New("a bad sector")
				}
				return nil
			},
		}
		f := newForeman(t, doNothing, foreman.Options{Store: s, Dir: t.TempDir()})
		failing = submit(t, f, foreman.Spec{QueueTimeout: time.Second})
		behind := submit(t, f, foreman.Spec{QueueTimeout: time.Minute})
		time.Sleep(time.Hour)
		start(t, f)
		time.Sleep(3 * time.Second)
		require.Equal(t, foreman.Failed, status(t, f, behind).State)
		require.Less(t, looked.Load(), int64(8), "once a second, and no more")
		broken.Store(false)
		require.Equal(t, foreman.QueueTimeout, await(t, f, failing).Error.Type)
	})
}
