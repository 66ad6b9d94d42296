package postgres_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// lines counts what is logged.
type lines struct {
	mu   sync.Mutex
	n    int
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += bytes.Count(p, []byte("\n"))
	l.text.Write(p)
	return len(p), nil
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// hand is a backend whose jobs end when they are told to.
type hand struct {
	began chan *foreman.Task
	end   chan struct{}
}

func newHand() *hand { return &hand{make(chan *foreman.Task, 100), make(chan struct{})} }

func (h *hand) Run(ctx context.Context, t *foreman.Task) error {
	h.began <- t
	select {
	case <-h.end:
		return t.SetResult(fmt.Sprintf("attempt %d", t.Attempt))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refusals have callers ask for everything there is, until the returned function is
// called, which tells how many calls were refused, and how long the slowest took.
func refusals(t *testing.T, r *replica, id ulid.ULID) (stop func() (n int64, slowest time.Duration)) {
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	var mu sync.Mutex
	var slowest time.Duration
	var all sync.WaitGroup
	job := "/jobs/" + id.String()
	for _, call := range [][2]string{
		{"POST", "/jobs"},
		{"GET", job},
		{"GET", "/jobs"},
		{"POST", job + "/cancel"},
		{"GET", job + "/events"},
		{"GET", job + "/deliveries"},
		{"GET", "/events"},
		{"GET", "/readyz"},
		{"POST", "/queue/pause"},
		{"GET", "/queue"},
	} {
		body := ""
		if call[1] == "/jobs" {
			body = `{"model":"m","input":1}`
		}
		for range 4 {
			all.Go(func() {
				for ctx.Err() == nil {
					begun := time.Now()
					a, err := r.ask(ctx, call[0], call[1], body)
					took := time.Since(begun)
					if ctx.Err() != nil {
						return
					}
					if err != nil || a.status != http.StatusServiceUnavailable {
						t.Errorf("%s %s: %v %d %s", call[0], call[1], err, a.status, a.body)
						return
					}
					var p struct{ Type string }
					if json.Unmarshal([]byte(a.body), &p) != nil || p.Type != "unavailable" ||
						a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/problem+json" {
						t.Errorf("%s %s: %v %s", call[0], call[1], a.header, a.body)
					}
					n.Add(1)
					mu.Lock()
					slowest = max(slowest, took)
					mu.Unlock()
				}
			})
		}
	}
	return func() (int64, time.Duration) {
		cancel()
		all.Wait()
		return n.Load(), slowest
	}
}

// callers come one after the other until the returned function is called, which tells how
// many were served, and how long the slowest waited.
func callers(t *testing.T, r *replica) (stop func() (n int64, slowest time.Duration)) {
	ctx, cancel := context.WithCancel(t.Context())
	var n int64
	var slowest time.Duration
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			err := r.Do(ctx, foreman.Spec{Model: "m"}, func(_ context.Context, turn foreman.Turn) error {
				n, slowest = n+1, max(slowest, turn.Waited)
				return nil
			})
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	return func() (int64, time.Duration) {
		cancel()
		all.Wait()
		return n, slowest
	}
}

// TestDatabaseDown takes the database away while jobs run: it is stopped, or stands
// still. Meanwhile every call is refused, soon, with when to come again, the log stays
// short, and nothing piles up; but callers who need nothing of it are served, and a stream
// stays open. Afterwards everything goes on by itself: what ended
// meanwhile is stored, since its lease has not run out, and all webhooks come.
func TestDatabaseDown(t *testing.T) {
	for name, take := range map[string]func(testing.TB, *pgtest.Server) (back func()){
		"stopped": func(tb testing.TB, s *pgtest.Server) func() {
			s.Stop(tb)
			return func() { s.Start(tb) }
		},
		"hung": func(tb testing.TB, s *pgtest.Server) func() { return s.Hang(tb) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Start(t)
			log := &lines{}
			h := newHand()
			o := foreman.Options{Slots: 1, PerSlot: 4, Lease: 30 * time.Second, Logger: slog.New(slog.NewTextHandler(log, nil))}
			o.Webhook.Timeout = time.Second
			r := newReplica(t, open(t, server.URL, nil), h, o)
			hook := webhooktest.NewReceiver(t, nil)
			var ids []ulid.ULID
			for range 6 {
				ids = append(ids, r.submit(t, foreman.Spec{StateWebhookURL: hook.URL()}))
			}
			for range 4 {
				<-h.began
			}
			_, err := hook.Wait(t.Context(), 10) // six are queued, four begun
			require.NoError(t, err)

			events, _ := follow(t, r, ids[0], "")
			require.Contains(t, (<-events).data, `"state":"queued"`)
			require.Contains(t, (<-events).data, `"state":"working"`)

			back := take(t, server)
			begun, before := time.Now(), log.count()
			stop := refusals(t, r, ids[0])
			close(h.end) // of those four, and of those that follow
			hangUp := callers(t, r)
			routines := 0
			down(t, r, 12*time.Second, func(passed time.Duration) {
				switch {
				case passed < 6*time.Second:
					routines = max(routines, runtime.NumGoroutine())
				default:
					require.Less(t, runtime.NumGoroutine(), routines+routines/2+50, "nothing piles up")
				}
			})
			served, longest := hangUp()
			t.Logf("%d callers served, the slowest after %s", served, longest.Round(time.Millisecond))
			require.Greater(t, served, int64(100))
			require.Less(t, longest, 6*time.Second)
			refused, slowest := stop()
			lines := log.count() - before
			t.Logf("%d calls refused within %s, the slowest after %s; %d lines of log; %d goroutines",
				refused, time.Since(begun).Round(time.Second), slowest.Round(time.Millisecond), lines, routines)
			require.Less(t, slowest, 10*time.Second)
			require.Less(t, lines, 250)

			back()
			begun = time.Now()
			for _, id := range ids {
				j := r.await(t, id)
				require.Equal(t, foreman.Done, j.State)
				require.Equal(t, 1, j.Attempt)
				require.Len(t, r.changes(t, id), 3)
			}
			require.Contains(t, (<-events).data, `"state":"done"`, "by the same stream")
			t.Logf("all jobs have ended %s after it is back", time.Since(begun).Round(time.Millisecond))
			var got []webhooktest.Delivery
			require.Eventually(t, func() bool {
				got = hook.Deliveries()
				accepted := map[string]bool{}
				for _, d := range got {
					if d.Accepted() {
						accepted[d.ID()] = true
					}
				}
				return len(accepted) == 3*len(ids)
			}, patience, 10*time.Millisecond)
			t.Logf("all webhooks have come %s after it is back", time.Since(begun).Round(time.Millisecond))
			last := map[string]uint64{}
			for _, d := range got {
				require.LessOrEqual(t, d.Event.Sequence, last[d.Event.JobID]+1)
				last[d.Event.JobID] = max(last[d.Event.JobID], d.Event.Sequence)
			}
			require.Equal(t, http.StatusOK, r.get(t, "/readyz").status)
		})
	}
}

// down looks at a process while the database is away.
func down(t *testing.T, r *replica, d time.Duration, look func(passed time.Duration)) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < d; <-tick.C {
		require.Equal(t, http.StatusOK, r.get(t, "/healthz").status)
		look(time.Since(begun))
	}
}
