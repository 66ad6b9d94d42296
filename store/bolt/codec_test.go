package bolt

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/foreman-go/foreman/store"
)

func fullRow() row {
	at := func(n int) time.Time { return time.Date(2026, 1, n, 3, 4, 5, 678_901_000, time.UTC) }
	return row{
		Head: store.Head{
			Version: math.MaxUint64, Seq: 7, State: "paused", Owner: "o", Lane: "l", Kind: "k",
			Labels: map[string]string{"a": "b", "": ""}, Priority: math.MinInt32, Attempt: 3, Worker: "w",
			Created: at(1), RunAt: at(2), Started: at(3), Finished: at(4), Expires: at(5), Deadline: at(6),
			IdempotencyKey: "key", Fingerprint: []byte{1}, Note: []byte("note"),
		},
		turn: math.MaxUint64, events: []uint64{4, 5, math.MaxUint64}, spec: blob{pos: 3, sum: 1}, outcome: blob{pos: math.MaxUint64, sum: math.MaxUint32},
	}
}

func TestRowRoundTrip(t *testing.T) {
	for name, want := range map[string]row{"empty": {}, "full": fullRow()} {
		t.Run(name, func(t *testing.T) {
			var got row
			require.NoError(t, decodeRow(appendRow(nil, &want), &got))
			require.Equal(t, want, got)
		})
	}
}

func TestDeliveryRoundTrip(t *testing.T) {
	want := store.Delivery{
		Endpoint: "e", URL: "u", State: store.Pending, Attempt: 2,
		Due: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Log: []byte("log"),
	}
	var got store.Delivery
	require.NoError(t, decodeDelivery(appendDelivery(nil, &want), &got))
	require.Equal(t, want, got)
}

// Every single bit matters to the checksum.
func TestADamagedValueIsNotOpened(t *testing.T) {
	r := fullRow()
	sealed := seal(appendRow(nil, &r))
	_, err := open(sealed)
	require.NoError(t, err)
	for i := range sealed {
		for bit := range 8 {
			sealed[i] ^= 1 << bit
			_, err := open(sealed)
			require.ErrorIs(t, err, store.ErrDamaged)
			sealed[i] ^= 1 << bit
		}
	}
	for n := range sealed {
		_, err := open(sealed[:n])
		require.ErrorIs(t, err, store.ErrDamaged)
	}
}

// What was not written by appendRow is refused, and never a panic.
func FuzzDecodeRow(f *testing.F) {
	r := fullRow()
	f.Add(appendRow(nil, &r))
	f.Add(appendRow(nil, &row{}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got, again row
		if err := decodeRow(b, &got); err != nil {
			require.True(t, errors.Is(err, store.ErrDamaged))
			return
		}
		require.NoError(t, decodeRow(appendRow(nil, &got), &again))
		require.Equal(t, got, again)
	})
}

func TestKeysSortAsTheyShould(t *testing.T) {
	increasing := [][]byte{
		appendTime(nil, time.UnixMicro(-1)), appendTime(nil, time.UnixMicro(0)),
		appendTime(nil, time.UnixMicro(1)), appendTime(nil, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
	for i := range increasing[1:] {
		require.Less(t, string(increasing[i]), string(increasing[i+1]))
	}
	require.True(t, timeAt(increasing[0]).Equal(time.UnixMicro(-1)))
	last := ""
	for _, p := range []int32{math.MaxInt32, 100, 1, 0, -1, -100, math.MinInt32} {
		k := appendPriority(nil, p)
		require.Greater(t, string(k), last, "higher priorities first")
		require.Equal(t, p, priorityAt(k))
		last = string(k)
	}
}

// What was answered must be on disk: the options that would make it quicker and untrue
// are off.
func TestNothingIsLeftToTheSystem(t *testing.T) {
	s, err := Open(t.TempDir()+"/foreman.db", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.False(t, s.db.NoSync)
	require.False(t, s.db.NoGrowSync)
	require.False(t, s.db.NoFreelistSync)
}

// A record that cannot be read is in nobody's way.
func TestOneDamagedRecord(t *testing.T) {
	for _, name := range []string{"head", "spec"} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.TempDir()+"/foreman.db", nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close()) }()
			var ids []ulid.ULID
			for range 3 {
				h := store.Head{ID: ulid.Make(), State: store.Queued, Lane: "l", Seq: 1, Created: now()}
				r, err := s.Insert(t.Context(), []store.Insertion{{Head: h, Spec: []byte("spec"), Events: []store.Event{{Seq: 1}}}})
				require.NoError(t, err)
				require.NoError(t, r[0].Err)
				ids = append(ids, h.ID)
			}
			slices.SortFunc(ids, ulid.ULID.Compare)
			require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
				b, key := tx.Bucket(bucketNames[bucketHeads]), ids[0][:]
				if name == "spec" {
					var r row
					require.NoError(t, readRow(key, b.Get(key), &r))
					b, key = tx.Bucket(bucketNames[bucketLog]), blobKey(r.spec.pos)
				}
				v := bytes.Clone(b.Get(key))
				v[0] ^= 1
				return b.Put(key, v)
			}))
			lanes, err := s.Lanes(t.Context())
			require.NoError(t, err)
			require.Equal(t, 3, lanes[0].Ready)
			var claimed []ulid.ULID
			_, err = s.Claim(t.Context(), store.Claim{Worker: "w", Lane: "l", Limit: 9, Lease: time.Hour}, func(r store.Record) store.Change {
				if r.Spec == nil {
					r.State = "failed"
				} else {
					claimed = append(claimed, r.ID)
					r.State = store.Working
				}
				return store.Change{Head: r.Head}
			})
			require.NoError(t, err)
			require.Equal(t, ids[1:], claimed)
			lanes, err = s.Lanes(t.Context())
			require.NoError(t, err)
			require.Empty(t, lanes)
			_, err = s.Get(t.Context(), ids[0])
			require.ErrorIs(t, err, store.ErrDamaged)
			r, err := s.Apply(t.Context(), []store.Change{{Head: store.Head{ID: ids[1], Version: 2, Seq: 1, State: "done"}}})
			require.NoError(t, err, "the others can be changed as ever")
			require.NoError(t, r[0].Err)
		})
	}
}
