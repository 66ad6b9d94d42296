package bolt

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/foreman-go/foreman/store"
)

func openNew(t testing.TB) *Store {
	s, err := Open(t.TempDir()+"/foreman.db", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// addSending inserts records of n deliveries each.
func addSending(t testing.TB, s *Store, records, n int, endpoint func(i int) string) []store.Head {
	var batch []store.Insertion
	for i := range records {
		in := store.Insertion{Head: store.Head{ID: ulid.Make(), State: store.Queued, Seq: uint64(n), Created: now()}}
		for seq := range n {
			in.Events = append(in.Events, store.Event{Seq: uint64(seq + 1)})
			in.Deliveries = append(in.Deliveries, store.Delivery{Seq: uint64(seq + 1), Endpoint: endpoint(i), Body: make([]byte, 200)})
		}
		batch = append(batch, in)
	}
	res, err := s.Insert(t.Context(), batch)
	require.NoError(t, err)
	var heads []store.Head
	for _, r := range res {
		require.NoError(t, r.Err)
		heads = append(heads, r.Head)
	}
	return heads
}

// requireIndexed holds the file to its invariants: the earliest pending delivery of each
// record is in one index, nothing else is in any, and the backlog is what is pending.
func requireIndexed(t testing.TB, s *Store) {
	t.Helper()
	require.NoError(t, s.view(func(t1 *txn) error {
		want, got := map[deliveryKey]bool{}, map[deliveryKey]bool{}
		seen := map[ulid.ULID]bool{}
		pending := 0
		c := t1.bucket(bucketDeliveries).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			var d store.Delivery
			require.NoError(t, readDelivery(k, v, &d))
			if d.State != store.Pending {
				continue
			}
			pending++
			if !seen[d.ID] {
				want[deliveryKey{d.ID, d.Seq}] = true
				in := 0
				for b, key := range map[int][]byte{
					bucketSendable: sendableKey(d.Endpoint, d.ID, d.Seq), bucketUnsent: unsentKey(d.Due, d.ID, d.Seq),
				} {
					if t1.bucket(b).Get(key) != nil {
						in++
					}
				}
				require.Equal(t, 1, in, "in one index")
			}
			seen[d.ID] = true
		}
		for _, b := range []int{bucketSendable, bucketUnsent} {
			require.NoError(t, t1.bucket(b).ForEach(func(k, _ []byte) error {
				got[asDeliveryKey(k[len(k)-idSize-8:])] = true
				return nil
			}))
		}
		require.Equal(t, want, got)
		require.Equal(t, pending, t1.backlog())
		return nil
	}))
}

// Whatever is settled in whatever order, the indexes are right, and what leases and
// walks remember hides nothing for good.
func TestIndexesOfTheOutbox(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := openNew(t)
	heads := addSending(t, s, 12, 4, func(i int) string { return fmt.Sprint("endpoint ", i%2) })
	states := []store.DeliveryState{store.Pending, store.Pending, store.Delivered, store.Failed, store.Superseded, store.Stopped}
	for range 600 {
		h := &heads[r.IntN(len(heads))]
		switch r.IntN(10) {
		case 0:
			c := store.Change{Head: *h, Events: []store.Event{{Seq: h.Seq + 1}}}
			c.Head.Seq++
			c.Deliveries = []store.Delivery{{Seq: c.Head.Seq, Endpoint: "endpoint 0", Due: now().Add(time.Duration(r.IntN(3)-1) * time.Millisecond)}}
			res, err := s.Apply(t.Context(), []store.Change{c})
			require.NoError(t, err)
			require.NoError(t, res[0].Err)
			*h = res[0].Head
		case 1, 2, 3:
			lease := []time.Duration{time.Hour, time.Millisecond}[r.IntN(2)]
			_, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 1 + r.IntN(4), Lease: lease})
			require.NoError(t, err)
		case 4:
			if r.IntN(10) > 0 {
				continue
			}
			_, err := s.Delete(t.Context(), []store.Ref{h.Ref()})
			require.NoError(t, err)
			*h = addSending(t, s, 1, 3, func(int) string { return "endpoint 1" })[0]
		default:
			var batch []store.Settlement
			list, err := s.Deliveries(t.Context(), h.ID)
			require.NoError(t, err)
			for range r.IntN(3) {
				d := list[r.IntN(len(list))]
				due := now().Add(time.Duration(r.IntN(3)-1) * time.Millisecond)
				batch = append(batch, store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: states[r.IntN(len(states))], Due: due})
			}
			_, err = s.SettleDeliveries(t.Context(), batch)
			require.NoError(t, err)
		}
		requireIndexed(t, s)
	}
	s.leases.mu.Lock()
	for k := range s.leases.held {
		s.leases.held[k].until = time.Time{} // they all run out
	}
	s.leases.mu.Unlock()
	for n := -1; n != 0; {
		time.Sleep(time.Millisecond)
		list, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 3, Lease: time.Hour})
		require.NoError(t, err)
		var batch []store.Settlement
		for _, d := range list {
			batch = append(batch, store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Delivered})
		}
		_, err = s.SettleDeliveries(t.Context(), batch)
		require.NoError(t, err)
		n = len(list)
	}
	n, err := s.Backlog(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Empty(t, s.leases.held)
	require.Empty(t, s.leases.soonest)
	require.Empty(t, s.leases.walked)
}

// More comes back behind a walk than is remembered: it begins anew, and misses nothing.
func TestAWalkThatBeginsAnew(t *testing.T) {
	s := openNew(t)
	const n = backMost + 200
	addSending(t, s, n, 2, func(int) string { return "endpoint" })
	held, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: n, Lease: time.Hour})
	require.NoError(t, err)
	require.Len(t, held, n)
	var batch []store.Settlement
	for _, d := range held[10:] {
		batch = append(batch, store.Settlement{ID: d.ID, Seq: d.Seq, State: store.Delivered})
	}
	_, err = s.SettleDeliveries(t.Context(), batch)
	require.NoError(t, err)
	require.Less(t, len(s.leases.walked["endpoint"].back), backMost)
	seen := map[deliveryKey]bool{}
	for range n {
		list, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 7, Lease: time.Hour})
		require.NoError(t, err)
		for _, d := range list {
			require.EqualValues(t, 2, d.Seq)
			seen[deliveryKey{d.ID, d.Seq}] = true
		}
	}
	require.Len(t, seen, n-10)
}

// A file that was made before the backlog was counted in it is counted once.
func TestABacklogThatWasNotCounted(t *testing.T) {
	path := t.TempDir() + "/foreman.db"
	s, err := Open(path, nil)
	require.NoError(t, err)
	heads := addSending(t, s, 3, 2, func(int) string { return "endpoint" })
	_, err = s.SettleDeliveries(t.Context(), []store.Settlement{{ID: heads[0].ID, Seq: 1, State: store.Delivered}})
	require.NoError(t, err)
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketNames[bucketMeta]).Delete(backlogKey) }))
	for range 2 {
		require.NoError(t, s.Close())
		s, err = Open(path, nil)
		require.NoError(t, err)
		n, err := s.Backlog(t.Context())
		require.NoError(t, err)
		require.Equal(t, 5, n)
	}
	requireIndexed(t, s)
	require.NoError(t, s.Close())
}

// A delivery that cannot be read is in nobody's way, and is failed wherever it is.
func TestOneDamagedDelivery(t *testing.T) {
	s := openNew(t)
	h := addSending(t, s, 1, 3, func(int) string { return "endpoint" })[0]
	other := addSending(t, s, 1, 1, func(int) string { return "endpoint" })[0]
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketNames[bucketDeliveries]).Put(seqKey(h.ID, 2), []byte("damaged"))
	}))
	errs, err := s.SettleDeliveries(t.Context(), []store.Settlement{
		{ID: h.ID, Seq: 2, State: store.Delivered},
		{ID: h.ID, Seq: 1, State: store.Delivered},
		{ID: other.ID, Seq: 1, State: store.Delivered},
	})
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], store.ErrDamaged)
	require.NoError(t, errs[1])
	require.NoError(t, errs[2])
	list, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 9, Lease: time.Hour})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.EqualValues(t, 3, list[0].Seq)
	require.Equal(t, store.Pending, list[0].State)
	require.EqualValues(t, 2, list[1].Seq)
	require.Equal(t, store.Failed, list[1].State)
	list, err = s.Deliveries(t.Context(), h.ID)
	require.NoError(t, err)
	require.Equal(t, store.Failed, list[1].State)
	requireIndexed(t, s)
}

// Whatever is damaged at whatever time, claims fail nothing else, send the rest, and
// leave the indexes and the backlog right; and nothing stays of a record that was deleted.
func TestDamageAnywhere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		s := openNew(t)
		heads := addSending(t, s, 3, 5, func(i int) string { return fmt.Sprint("endpoint ", i%2) })
		damaged, failed := map[deliveryKey]bool{}, map[deliveryKey]bool{}
		claim := func() (taken int) {
			list, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 1 + r.IntN(3), Lease: time.Hour})
			require.NoError(t, err)
			for _, d := range list {
				if d.State == store.Failed {
					failed[deliveryKey{d.ID, d.Seq}] = true
					continue
				}
				state := []store.DeliveryState{store.Pending, store.Delivered, store.Delivered, store.Stopped}[r.IntN(4)]
				_, err := s.SettleDeliveries(t.Context(), []store.Settlement{{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: state, Due: time.Now().Add(-time.Second)}})
				require.NoError(t, err)
			}
			return len(list)
		}
		for range 12 {
			h := &heads[r.IntN(len(heads))]
			seq := 1 + r.Uint64N(h.Seq)
			switch r.IntN(5) {
			case 0:
				bucket := []int{bucketDeliveries, bucketBodies}[r.IntN(2)]
				require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
					if b := tx.Bucket(bucketNames[bucket]); b.Get(seqKey(h.ID, seq)) != nil {
						damaged[deliveryKey{h.ID, seq}] = true
						return b.Put(seqKey(h.ID, seq), []byte("damaged"))
					}
					return nil
				}))
			case 1:
				c := store.Change{Head: *h, Events: []store.Event{{Seq: h.Seq + 1}}}
				c.Head.Seq++
				c.Deliveries = []store.Delivery{{Seq: c.Head.Seq, Endpoint: "endpoint 0", Due: now()}}
				res, err := s.Apply(t.Context(), []store.Change{c})
				require.NoError(t, err)
				if res[0].Err == nil {
					*h = res[0].Head
				}
			case 2: // reopen
				_, err := s.SettleDeliveries(t.Context(), []store.Settlement{{ID: h.ID, Seq: seq, Attempt: r.IntN(2), State: store.Pending, Due: time.Now()}})
				require.NoError(t, err)
			default:
				claim()
			}
		}
		var refs []store.Ref
		for i := range heads {
			refs = append(refs, heads[i].Ref())
		}
		_, err := s.Delete(t.Context(), refs)
		require.NoError(t, err)
		for claim() > 0 {
		}
		requireIndexed(t, s)
		for k := range failed {
			require.True(t, damaged[k])
		}
		for i := range heads {
			list, err := s.Deliveries(t.Context(), heads[i].ID)
			require.NoError(t, err)
			require.Empty(t, list)
		}
	}
}

// A delivery that cannot be read, or has no body any more, is failed by the claim that
// meets it, and the next of its record is due: whether it was due or was to be.
func TestDamagedFirstDelivery(t *testing.T) {
	for name, due := range map[string]time.Duration{"due": -time.Second, "to become due": time.Millisecond} {
		for what, bucket := range map[string]int{"row": bucketDeliveries, "body": bucketBodies} {
			t.Run(what+" of one "+name, func(t *testing.T) {
				s := openNew(t)
				h := addSending(t, s, 1, 3, func(int) string { return "endpoint" })[0]
				claim := store.DeliveryClaim{Limit: 9, Lease: time.Hour}
				if due > 0 { // it is tried, and is to be again
					list, err := s.ClaimDeliveries(t.Context(), claim)
					require.NoError(t, err)
					require.Len(t, list, 1)
					_, err = s.SettleDeliveries(t.Context(), []store.Settlement{{ID: h.ID, Seq: 1, State: store.Pending, Due: time.Now().Add(due)}})
					require.NoError(t, err)
				}
				require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
					return tx.Bucket(bucketNames[bucket]).Put(seqKey(h.ID, 1), []byte("damaged"))
				}))
				var got []store.Delivery
				require.Eventually(t, func() bool {
					list, err := s.ClaimDeliveries(t.Context(), claim)
					require.NoError(t, err)
					got = append(got, list...)
					return len(got) == 2
				}, 10*time.Second, time.Millisecond)
				slices.SortFunc(got, func(a, b store.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
				require.EqualValues(t, 1, got[0].Seq)
				require.Equal(t, store.Failed, got[0].State)
				require.Nil(t, got[0].Body)
				require.EqualValues(t, 2, got[1].Seq)
				require.Equal(t, store.Pending, got[1].State)
				require.NotNil(t, got[1].Body)

				list, err := s.Deliveries(t.Context(), h.ID)
				require.NoError(t, err)
				require.Equal(t, store.Failed, list[0].State)
				n, err := s.Backlog(t.Context())
				require.NoError(t, err)
				require.Equal(t, 2, n)
			})
		}
	}
}

// A claim that cannot write what it has failed keeps nothing from the next one.
func TestAClaimThatCannotFail(t *testing.T) {
	s := openNew(t)
	heads := addSending(t, s, 2, 1, func(int) string { return "endpoint" })
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketNames[bucketBodies]).Put(seqKey(heads[0].ID, 1), []byte("damaged"))
	}))
	claim := store.DeliveryClaim{Limit: 9, Lease: time.Hour}
	s.w.broken = store.ErrFull
	_, err := s.ClaimDeliveries(t.Context(), claim)
	require.ErrorIs(t, err, store.ErrFull)
	s.w.broken = nil
	list, err := s.ClaimDeliveries(t.Context(), claim)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, heads[1].ID, list[0].ID)
	require.Equal(t, store.Pending, list[0].State)
	require.Equal(t, heads[0].ID, list[1].ID)
	require.Equal(t, store.Failed, list[1].State)
}

// What is damaged of one record that was deleted is nobody else's harm.
func TestDamagedDeliveryOfADeletedRecord(t *testing.T) {
	s := openNew(t)
	h := addSending(t, s, 1, 2, func(int) string { return "endpoint" })[0]
	other := addSending(t, s, 1, 1, func(int) string { return "endpoint" })[0]
	results, err := s.Delete(t.Context(), []store.Ref{h.Ref()})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketNames[bucketDeliveries]).Put(seqKey(h.ID, 2), []byte("damaged"))
	}))
	errs, err := s.SettleDeliveries(t.Context(), []store.Settlement{
		{ID: h.ID, Seq: 1, State: store.Delivered},
		{ID: other.ID, Seq: 1, State: store.Delivered},
	})
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil}, errs)
	list, err := s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Limit: 9, Lease: time.Hour})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 2, list[0].Seq)
	require.Equal(t, store.Failed, list[0].State)
	list, err = s.Deliveries(t.Context(), h.ID)
	require.NoError(t, err)
	require.Empty(t, list)
	requireIndexed(t, s)
}

// What a claim and what a settlement cost, with 100 and with 100,000 pending: as they
// are; behind as many that are held; and of endpoints without room.
func BenchmarkOutbox(b *testing.B) {
	for _, depth := range []int{100, 100_000} {
		for _, how := range []string{"free", "held", "no room"} {
			b.Run(fmt.Sprintf("%s/depth=%d", how, depth), func(b *testing.B) { benchOutbox(b, how, depth) })
		}
	}
}

func benchOutbox(b *testing.B, how string, depth int) {
	s := openNew(b)
	name := map[bool]func(int) string{
		true:  func(i int) string { return fmt.Sprint("full ", i%10) },
		false: func(int) string { return "endpoint" },
	}[how == "no room"]
	for n := depth; n > 0; n -= 1000 {
		addSending(b, s, min(n, 1000), 1, name)
	}
	claim := store.DeliveryClaim{Limit: 64, Lease: time.Hour, Room: map[string]int{}}
	if how == "held" {
		_, err := s.ClaimDeliveries(b.Context(), store.DeliveryClaim{Limit: depth, Lease: time.Hour})
		require.NoError(b, err)
	}
	for i := range 10 {
		claim.Room[fmt.Sprint("full ", i)] = 0
	}
	if how != "free" {
		addSending(b, s, 64, 1, func(int) string { return "endpoint" })
	}
	var claiming, settling time.Duration
	b.ResetTimer()
	for n := 0; n < b.N; {
		begun := time.Now()
		_, err := s.Upcoming(b.Context())
		require.NoError(b, err)
		list, err := s.ClaimDeliveries(b.Context(), claim)
		require.NoError(b, err)
		require.NotEmpty(b, list)
		batch := make([]store.Settlement, len(list))
		for i, d := range list { // to be sent again at once, so that the depth stays
			batch[i] = store.Settlement{ID: d.ID, Seq: d.Seq, Attempt: d.Attempt, State: store.Pending}
		}
		claimed := time.Now()
		_, err = s.SettleDeliveries(b.Context(), batch)
		require.NoError(b, err)
		claiming, settling = claiming+claimed.Sub(begun), settling+time.Since(claimed)
		n += len(list)
	}
	b.StopTimer()
	b.ReportMetric(float64(claiming.Nanoseconds())/float64(b.N), "ns/claimed")
	b.ReportMetric(float64(settling.Nanoseconds())/float64(b.N), "ns/settled")
}
