package bolt

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/foreman-go/foreman/store"
)

// What is kept of owners is what can be counted, so that nothing is left of one who has
// nothing ready, even if records are damaged meanwhile.
func TestTurnsAreWhatIsReady(t *testing.T) {
	s, err := Open(t.TempDir()+"/foreman.db", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	rnd := rand.New(rand.NewPCG(1, 0))
	for range 20 {
		var in []store.Insertion
		for range 20 {
			in = append(in, store.Insertion{Head: store.Head{
				ID: ulid.Make(), State: store.Queued, Owner: fmt.Sprint(rnd.IntN(4)), Lane: "l", Priority: int32(rnd.IntN(2)), Created: now(),
			}})
		}
		_, err := s.Insert(t.Context(), in)
		require.NoError(t, err)
		for range 2 {
			spoil(t, s, in[rnd.IntN(len(in))].Head.ID)
		}
		records := claimAll(t, s, 12)
		var changes []store.Change
		for _, r := range records[:len(records)/2] {
			r.State, r.Deadline = store.Queued, time.Time{}
			changes = append(changes, store.Change{Head: r.Head})
		}
		_, err = s.Apply(t.Context(), changes)
		require.NoError(t, err)
		agree(t, s)
	}
	claimAll(t, s, 1000)
	require.NoError(t, s.view(func(tx *txn) error {
		for _, b := range []int{bucketReady, bucketTurns, bucketLanes} {
			k, _ := tx.bucket(b).Cursor().First()
			require.Nil(t, k, "%s", bucketNames[b])
		}
		return nil
	}))
}

func claimAll(t *testing.T, s *Store, limit int) []store.Record {
	records, err := s.Claim(t.Context(), store.Claim{Worker: "w", Lane: "l", Limit: limit, Lease: time.Hour}, func(r store.Record) store.Change {
		r.State = store.Working
		return store.Change{Head: r.Head}
	})
	require.NoError(t, err)
	return records
}

// spoil damages the row of a record.
func spoil(t *testing.T, s *Store, id ulid.ULID) {
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketNames[bucketHeads])
		v := bytes.Clone(b.Get(id[:]))
		v[0] ^= 1
		return b.Put(id[:], v)
	}))
}

// agree holds bucketTurns against bucketReady.
func agree(t *testing.T, s *Store) {
	require.NoError(t, s.view(func(tx *txn) error {
		want, got := map[string]uint64{}, map[string]uint64{}
		require.NoError(t, tx.bucket(bucketReady).ForEach(func(k, v []byte) error {
			priority, turn, _ := cutReady(k, 1)
			_, owner := readyOf(v)
			key := turnsKey(level{"l", priority}, owner)
			if turn != frontTurn {
				want[string(key)]++
				require.LessOrEqual(t, turn, readTurns(tx.get(bucketTurns, key)).last)
			}
			return nil
		}))
		require.NoError(t, tx.bucket(bucketTurns).ForEach(func(k, v []byte) error {
			got[string(k)] = readTurns(v).ready
			return nil
		}))
		require.Equal(t, want, got)
		return nil
	}))
}
