package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// manyCrashes is how often TestManyCrash kills a foremand: five times, or as often as
// FOREMAND_TEST_CRASHES says.
func manyCrashes(t *testing.T) int {
	v := os.Getenv("FOREMAND_TEST_CRASHES")
	if v == "" {
		return 5
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err)
	return n
}

const (
	crashEvery = 2500 * time.Millisecond
	leaseTime  = 10 * time.Second // of jobs, in foremand
)

// TestManyCrash has three foremands work on one queue in PostgreSQL. One after the other
// is killed with SIGKILL, every few seconds, and started again; and PostgreSQL dies and is
// started again once. Callers try again, with the same key, at whichever foremand answers.
// Then every job that was acknowledged has ended, and once; what ran in a process that
// died was taken over soon after its lease; the feed has told every event, once; and so
// has the receiver of webhooks been, in order.
func TestManyCrash(t *testing.T) {
	kills := manyCrashes(t)
	server := pgtest.Start(t)
	hook := webhooktest.NewReceiver(t, &webhooktest.Options{
		Secrets: []string{crashSecret},
		Answer: func(webhooktest.Delivery) webhooktest.Answer {
			if rand.IntN(50) == 0 {
				return webhooktest.Status(http.StatusServiceUnavailable)
			}
			return webhooktest.OK()
		},
	})
	f := newFleet(t, 3, server.URL, "-per-slot", "8", "-webhook-secret", crashSecret,
		"-webhook-timeout", "1s", "-webhook-schedule", "300ms,1s,1s,1s,1s,1s,1s,1s")
	load := newLoad(f, hook.URL())
	var feed follower
	stopFeed := following(f, &feed)

	type death struct {
		at   time.Time
		jobs []string
	}
	var deaths []death
	tick := time.NewTicker(crashEvery)
	defer tick.Stop()
	for n := range kills {
		<-tick.C
		victim := f.member(n)
		d := death{jobs: victim.running()}
		victim.kill()
		d.at = time.Now()
		deaths = append(deaths, d)
		t.Logf("killed foremand %d with %d jobs running; %d jobs acknowledged, %d calls failed, %d webhooks received",
			n%3, len(d.jobs), load.count(), load.failed.Load(), len(hook.Deliveries()))
		if n == kills/2 {
			server.Crash(t)
			server.Start(t)
			t.Log("PostgreSQL has died and is back")
		}
		begun := time.Now()
		f.restart(t, n%3)
		t.Logf("started again within %s", time.Since(begun).Round(time.Millisecond))
	}
	ids := load.stop()
	require.NotEmpty(t, ids)

	everyChange(t, f.member(0), ids)
	stopFeed()
	require.True(t, feed.read(f.member(1)))
	changes := feed.byJob()
	again := requireOnce(t, changes, ids)
	requireFeed(t, f, changes)

	var worst time.Duration
	moved := 0
	for _, d := range deaths {
		for _, id := range d.jobs {
			if after, ok := taken(changes[id], d.at); ok {
				moved++
				worst = max(worst, after)
			}
		}
	}
	t.Logf("%d jobs, %d of them ran again; %d that ran in a process that died were taken over, the last %s after it",
		len(changes), again, moved, worst.Round(time.Millisecond))
	require.NotZero(t, moved)
	require.Less(t, worst, leaseTime+10*time.Second)
	requireDelivered(t, hook, changes)
	requireArtifacts(t, f, ids)
}

// load submits jobs until it is stopped.
type load struct {
	f      *fleet
	hook   string
	end    chan struct{}
	all    sync.WaitGroup
	failed atomic.Int64

	mu  sync.Mutex
	ids []string
}

func newLoad(f *fleet, hook string) *load {
	l := &load{f: f, hook: hook, end: make(chan struct{})}
	for n := range 8 {
		l.all.Go(func() {
			tick := time.NewTicker(80 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-tick.C:
					l.submit(n, i)
				case <-l.end:
					return
				}
			}
		})
	}
	return l
}

// submit has a job acknowledged, wherever that can be had. Some last for two seconds, and
// some leave an artifact.
func (l *load) submit(n, i int) {
	options := `{"delay":"5ms"}`
	switch i % 10 {
	case 3:
		options = `{"delay":"200ms"}`
	case 6:
		options = `{"artifact_bytes":300000}`
	}
	body := fmt.Sprintf(`{"model":"echo","prompt":"a b c d e f g h i j","options":%s,"max_attempts":100,"state_webhook_url":%q}`, options, l.hook)
	key := fmt.Sprintf("Idempotency-Key: %d/%d", n, i)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for try := n + i; ; try++ {
		a, err := send(http.MethodPost, l.f.member(try).url+"/jobs", body, key)
		var j job
		if err == nil && a.status <= http.StatusAccepted && json.Unmarshal(a.body, &j) == nil {
			l.mu.Lock()
			l.ids = append(l.ids, j.ID)
			l.mu.Unlock()
			return
		}
		l.failed.Add(1)
		<-tick.C
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}

// stop returns the jobs that were acknowledged.
func (l *load) stop() []string {
	close(l.end)
	l.all.Wait()
	return l.ids
}

// following reads the feed all the time, until the returned function is called.
func following(f *fleet, feed *follower) (stop func()) {
	end := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				feed.read(f.member(n))
			case <-end:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		reading.Wait()
	})
}

// requireOnce requires that each job was acknowledged once, that its changes follow each
// other, and that it has ended well once. It returns how many ran more than once.
func requireOnce(t *testing.T, changes map[string][]webhook.Event, ids []string) (again int) {
	for _, id := range ids {
		require.Contains(t, changes, id, "acknowledged, and not in the feed")
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(ids))), len(ids), "each key is a job")
	require.Len(t, changes, len(ids), "the same key is the same job, whoever took it")
	for id, events := range changes {
		attempt := 0
		for i, e := range events {
			require.EqualValues(t, i+1, e.Sequence, "job %s: %v", id, events)
			if i > 0 {
				require.Equal(t, events[i-1].State, e.PreviousState, "job %s: %v", id, events)
				require.NotEqual(t, "done", events[i-1].State, "job %s: %v", id, events)
			}
			if e.State == "working" {
				attempt++
			}
			require.LessOrEqual(t, e.Attempt, attempt, "job %s: %v", id, events)
		}
		require.Equal(t, "done", events[len(events)-1].State, "job %s: %v", id, events)
		require.LessOrEqual(t, events[len(events)-1].Attempt, attempt)
		if attempt > 1 {
			again++
		}
	}
	return again
}

// requireFeed requires that who reads the feed now finds what who has followed it was
// told, in the same order.
func requireFeed(t *testing.T, f *fleet, followed map[string][]webhook.Event) {
	var now follower
	require.True(t, now.read(f.member(2)))
	require.Equal(t, followed, now.byJob())
}

// requireDelivered waits until the receiver has accepted every event, and requires that
// none came before the one before it in its job had been accepted, and that each was the
// same each time.
func requireDelivered(t *testing.T, hook *webhooktest.Receiver, changes map[string][]webhook.Event) {
	type event struct {
		job      string
		sequence uint64
	}
	total := 0
	for _, events := range changes {
		total += len(events)
	}
	var got []webhooktest.Delivery
	accepted := map[event]time.Time{} // when it first was
	require.Eventually(t, func() bool {
		got = hook.Deliveries()
		clear(accepted)
		for _, d := range got {
			e := event{d.Event.JobID, d.Event.Sequence}
			if at, again := accepted[e]; d.Accepted() && (!again || d.Answered.Before(at)) {
				accepted[e] = d.Answered
			}
		}
		return len(accepted) >= total
	}, 2*patience, 100*time.Millisecond, "every event is accepted")
	require.Len(t, accepted, total, "and no other")

	bodies := map[string]string{}
	refused := 0
	for _, d := range got {
		require.NoError(t, d.Err)
		if body, ok := bodies[d.ID()]; ok {
			require.Equal(t, body, string(d.Body))
		}
		bodies[d.ID()] = string(d.Body)
		if d.Event.Sequence > 1 {
			at := accepted[event{d.Event.JobID, d.Event.Sequence - 1}]
			require.False(t, at.IsZero() || d.Time.Before(at), "event %d of job %s came before the last one was accepted", d.Event.Sequence, d.Event.JobID)
		}
		if !d.Accepted() {
			refused++
		}
	}
	require.Len(t, bodies, total, "each event has one webhook-id")
	for id, events := range changes {
		require.Contains(t, accepted, event{id, uint64(len(events))})
	}
	require.NotZero(t, refused)
	t.Logf("%d events, all accepted, in %d requests, of which %d were refused", total, len(got), refused)
}

// requireArtifacts requires that artifacts can be had from any process.
func requireArtifacts(t *testing.T, f *fleet, ids []string) {
	n := 0
	for i, id := range ids {
		p := f.member(i)
		a := get(t, p.url+"/jobs/"+id+"/artifacts")
		var list struct{ Artifacts []struct{ Name, URL string } }
		require.NoError(t, json.Unmarshal(a.body, &list))
		for _, artifact := range list.Artifacts {
			if artifact.Name != "blob" {
				continue
			}
			a := get(t, p.url+artifact.URL)
			require.Equal(t, http.StatusOK, a.status)
			require.Len(t, a.body, 300000)
			n++
		}
	}
	require.NotZero(t, n)
	t.Logf("%d artifacts are there", n)
}
