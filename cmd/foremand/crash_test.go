package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

const crashSecret = "a secret of the crash test"

// crashes is how often TestCrash kills foremand: twice, or as often as
// FOREMAND_TEST_CRASHES says. There are 500 jobs for each time, and at least 1,000.
func crashes(t *testing.T) (kills, jobs int) {
	kills = 2
	if v := os.Getenv("FOREMAND_TEST_CRASHES"); v != "" {
		var err error
		kills, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	return kills, max(500*kills, 1000)
}

// TestCrash kills foremand with SIGKILL while it accepts, runs and delivers jobs, and
// starts it again over the same directory. Then every job has ended, none of them
// twice, and every change of state has been delivered, in order.
func TestCrash(t *testing.T) {
	kills, jobs := crashes(t)
	hook := newReceiver(t)
	args := []string{"-dev", "-data", t.TempDir(), "-webhook-secret", crashSecret, "-per-slot", "8"}
	ids := make([]string, jobs)
	for round := range kills {
		p := start(t, args...)
		accepted := submitAll(p, hook.URL, ids, jobs*(round+1)/(kills+1))
		t.Logf("killed with %d jobs accepted, %d webhooks delivered", accepted, hook.count())
	}
	p := start(t, args...)
	require.Equal(t, jobs, submitAll(p, hook.URL, ids, jobs+1))

	changes := everyChange(t, p, ids)
	require.Len(t, changes, jobs, "the same key is the same job, also after a crash")
	again := 0
	for id, events := range changes {
		ended := 0
		for i, e := range events {
			require.EqualValues(t, i+1, e.Sequence, "job %s: %v", id, events)
			if i > 0 {
				require.Equal(t, events[i-1].State, e.PreviousState, "job %s: %v", id, events)
			}
			if e.State == "done" {
				ended++
			}
		}
		require.Equal(t, "done", events[len(events)-1].State, "job %s: %v", id, events)
		require.Equal(t, 1, ended, "job %s: %v", id, events)
		if len(events) > 3 {
			again++
		}
	}
	t.Logf("%d jobs were interrupted and ran again", again)
	require.Eventually(t, func() bool { return hook.has(changes) }, patience, 20*time.Millisecond, "every event is delivered")
	for id, first := range hook.firsts() {
		for i, sequence := range first {
			require.EqualValues(t, i+1, sequence, "job %s: %v", id, first)
		}
	}
}

// submitAll submits the jobs that have no id yet, and kills foremand when enough have
// one. It returns how many do.
func submitAll(p *process, hook string, ids []string, enough int) int {
	var accepted, next atomic.Int64
	for _, id := range ids {
		if id != "" {
			accepted.Add(1)
		}
	}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(ids) {
					return
				}
				if ids[i] != "" {
					continue
				}
				body := fmt.Sprintf(`{"model":"echo","prompt":"job %d","max_attempts":100,"state_webhook_url":"%s"}`, i, hook)
				a, err := send(http.MethodPost, p.url+"/jobs", body, fmt.Sprintf("Idempotency-Key: job-%d", i))
				var j job
				if err != nil || a.status > http.StatusAccepted || json.Unmarshal(a.body, &j) != nil {
					continue // the next round tries again
				}
				ids[i] = j.ID
				if int(accepted.Add(1)) == enough {
					p.kill()
				}
			}
		})
	}
	workers.Wait()
	return int(accepted.Load())
}

// everyChange reads the feed until every job has ended, and returns the changes of
// each.
func everyChange(t *testing.T, p *process, ids []string) map[string][]webhook.Event {
	t.Helper()
	changes := map[string][]webhook.Event{}
	next := "/events?limit=1000"
	require.Eventually(t, func() bool {
		for {
			a, err := send(http.MethodGet, p.url+next, "")
			var page struct {
				Events []webhook.Event
				Next   string
			}
			if err != nil || json.Unmarshal(a.body, &page) != nil {
				return false
			}
			if len(page.Events) == 0 {
				break
			}
			for _, e := range page.Events {
				changes[e.JobID] = append(changes[e.JobID], e)
			}
			next = page.Next
		}
		for _, id := range ids {
			events := changes[id]
			if len(events) == 0 || events[len(events)-1].State != "done" {
				return false
			}
		}
		return true
	}, 2*patience, 50*time.Millisecond, "every job ends")
	return changes
}

// receiver keeps the events that it was sent and has verified.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []webhook.Event
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var e webhook.Event
		if err != nil || !webhook.VerifySignature(body, req.Header.Get("X-Foreman-Signature"), crashSecret) || json.Unmarshal(body, &e) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, e)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// firsts are the sequences of each job in the order in which they came for the first
// time.
func (r *receiver) firsts() map[string][]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	type change struct {
		job      string
		sequence uint64
	}
	seen, firsts := map[change]bool{}, map[string][]uint64{}
	for _, e := range r.got {
		if c := (change{e.JobID, e.Sequence}); !seen[c] {
			seen[c] = true
			firsts[e.JobID] = append(firsts[e.JobID], e.Sequence)
		}
	}
	return firsts
}

// has reports whether all changes have come.
func (r *receiver) has(changes map[string][]webhook.Event) bool {
	firsts := r.firsts()
	for id, events := range changes {
		if len(firsts[id]) < len(events) {
			return false
		}
	}
	return true
}
