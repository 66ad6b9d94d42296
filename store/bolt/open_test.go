package bolt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/bolt"
)

const damagedEnv = "FOREMAN_DAMAGED_FILE"

var damagedTrials = flag.Int("damaged.trials", 30, "how many files TestDamagedFiles damages")

func TestASecondOpenerIsRefused(t *testing.T) {
	path := harness.New(t)
	s, err := bolt.Open(path, nil)
	require.NoError(t, err)
	_, err = bolt.Open(path, &bolt.Options{LockTimeout: 10 * time.Millisecond})
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "another process has it open: stop that process")
	require.NoError(t, s.Close())
	s, err = bolt.Open(path, nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestWhatIsNotAStoreIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"text":  strings.Repeat("not a database\n", 1000),
		"short": "x",
		"zeros": string(make([]byte, 64<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			path := harness.New(t)
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			_, err := bolt.Open(path, nil)
			require.ErrorIs(t, err, store.ErrDamaged)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "backup")
		})
	}
}

func TestNoSuchDirectory(t *testing.T) {
	_, err := bolt.Open(filepath.Join(t.TempDir(), "no", "foreman.db"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestASizeLimit(t *testing.T) {
	s, err := bolt.Open(harness.New(t), &bolt.Options{MaxSize: 1 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	var heads []store.Head
	for {
		r, err := s.Insert(t.Context(), []store.Insertion{insertion(make([]byte, 100<<10))})
		require.NoError(t, err)
		if r[0].Err != nil {
			require.ErrorIs(t, r[0].Err, store.ErrFull)
			require.ErrorContains(t, r[0].Err, "delete jobs or raise the limit")
			break
		}
		heads = append(heads, r[0].Head)
		require.Less(t, len(heads), 20)
	}
	for _, h := range heads { // what is there can still end, and makes room
		h.State = "done"
		r, err := s.Apply(t.Context(), []store.Change{{Head: h, Outcome: make([]byte, 10<<10)}})
		require.NoError(t, err)
		require.NoError(t, r[0].Err)
		r, err = s.Delete(t.Context(), []store.Ref{r[0].Head.Ref()})
		require.NoError(t, err)
		require.NoError(t, r[0].Err)
	}
	_, err = s.Insert(t.Context(), []store.Insertion{insertion(nil)})
	require.NoError(t, err)
	r, err := s.Insert(t.Context(), []store.Insertion{insertion(nil)})
	require.NoError(t, err)
	require.NoError(t, r[0].Err)
}

func insertion(spec []byte) store.Insertion {
	id := ulid.Make()
	return store.Insertion{
		Head:   store.Head{ID: id, State: store.Queued, Lane: "lane", Created: time.Now(), Seq: 1},
		Spec:   spec,
		Events: []store.Event{{Seq: 1, Data: id[:]}},
	}
}

// A file with a damaged page is refused, or opened and the damage reported by whoever
// meets it, or it does not matter. It never ends the process, and never gives a record
// that was not written. Each trial is a process of its own, since what bbolt does
// with a damaged page cannot always be caught.
func TestDamagedFiles(t *testing.T) {
	if path := os.Getenv(damagedEnv); path != "" {
		useDamaged(path)
	}
	if testing.Short() {
		t.Skip("starts a process for each trial")
	}
	whole := filepath.Join(t.TempDir(), "whole.db")
	fillFile(t, whole)
	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	rnd := rand.New(rand.NewPCG(uint64(*damagedTrials), 0))
	outcomes := map[string]int{}
	for i := range *damagedTrials {
		path := filepath.Join(t.TempDir(), "damaged.db")
		require.NoError(t, os.WriteFile(path, damage(rnd, i, content), 0o600))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDamagedFiles$")
		cmd.Env = append(os.Environ(), damagedEnv+"="+path)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "trial %d\n%.4000s", i, out)
		outcomes[strings.TrimSpace(string(out))]++
	}
	t.Log(outcomes)
	require.NotZero(t, outcomes["refused"]+outcomes["reported"], "no damage was ever seen: %v", outcomes)
}

// fillFile makes a file with records in every state, each spec named by its hash.
func fillFile(t *testing.T, path string) {
	s, err := bolt.Open(path, nil)
	require.NoError(t, err)
	for range 300 {
		in := insertion([]byte(strings.Repeat(ulid.Make().String(), 40)))
		in.Head.Fingerprint = hashOf(in.Spec)
		in.Deliveries = []store.Delivery{{Seq: 1, Endpoint: "e", Body: in.Spec}}
		r, err := s.Insert(t.Context(), []store.Insertion{in})
		require.NoError(t, err)
		require.NoError(t, r[0].Err)
	}
	_, err = s.Claim(t.Context(), store.Claim{Lane: "lane", Limit: 100, Lease: time.Hour}, work)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func work(r store.Record) store.Change {
	r.State = store.Working
	r.Seq++
	return store.Change{Head: r.Head, Events: []store.Event{{Seq: r.Seq, Data: []byte("x")}}}
}

func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// damage spoils a page, a few bytes of one, or cuts the file.
func damage(rnd *rand.Rand, trial int, content []byte) []byte {
	const page = 4096
	b := append([]byte(nil), content...)
	used := len(bytes.TrimRight(content, "\x00"))/page + 1 // the file grows ahead of its use
	at := rnd.IntN(used) * page
	switch trial % 4 {
	case 0:
		for i := range page {
			b[at+i] = byte(rnd.Uint32())
		}
	case 1:
		clear(b[at : at+page])
	case 2:
		for range 8 {
			b[at+rnd.IntN(page)] ^= byte(1 + rnd.IntN(255))
		}
	default:
		b = b[:at]
	}
	return b
}

// useDamaged does everything with a file that may be damaged, and exits with 0 unless
// it was given something that is wrong.
func useDamaged(path string) {
	s, err := bolt.Open(path, nil)
	if err != nil {
		fmt.Println("refused")
		os.Exit(0)
	}
	said := "unharmed"
	check := func(err error) {
		if err != nil {
			said = "reported"
		}
	}
	ctx := context.Background()
	for q := (store.Query{Limit: 50}); ; {
		p, err := s.List(ctx, q)
		check(err)
		for _, h := range p.Heads {
			r, err := s.Get(ctx, h.ID)
			check(err)
			if err == nil && string(r.Fingerprint) != string(hashOf(r.Spec)) {
				fmt.Println("a wrong record was read")
				os.Exit(1)
			}
			_, err = s.Events(ctx, h.ID, 0, 10)
			check(err)
			_, err = s.Deliveries(ctx, h.ID)
			check(err)
		}
		if q.Before = p.Next; err != nil || p.Next.IsZero() {
			break
		}
	}
	for _, read := range []func() error{
		func() error { _, err := s.Feed(ctx, store.FeedQuery{Limit: 1000}); return err },
		func() error { _, err := s.Lanes(ctx); return err },
		func() error { _, err := s.Overdue(ctx, 1000); return err },
		func() error { _, err := s.Upcoming(ctx); return err },
		func() error {
			_, err := s.ClaimDeliveries(ctx, store.DeliveryClaim{Limit: 1000, Lease: time.Hour})
			return err
		},
		func() error {
			_, err := s.Claim(ctx, store.Claim{Lane: "lane", Limit: 50, Lease: time.Hour}, work)
			return err
		},
		func() error { _, err := s.Insert(ctx, []store.Insertion{insertion([]byte("new"))}); return err },
		s.Close,
	} {
		check(read())
	}
	fmt.Println(said)
	os.Exit(0)
}
