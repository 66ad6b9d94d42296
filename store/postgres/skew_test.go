package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// TestClockAnHourOff has two processes work on one queue. The clock of one is an hour
// off, and nothing comes of it: whatever has a time has it by the database's clock,
// whichever process has had to do with it.
//
// It is the database that is an hour off here, with all else that has a right clock: so
// whatever a process asks its machine for the time for, where it should ask the store,
// shows.
func TestClockAnHourOff(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind": time.Hour, "ahead": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newSkewed(t, off).check(t)
		})
	}
}

// skewed are two processes, of which one has a wrong clock.
type skewed struct {
	now          func() time.Time // the right time
	wrong, right *replica
	s            store.Store

	mu   sync.Mutex
	runs map[ulid.ULID][]time.Time // when attempts began
}

const skewTTL = 3 * time.Second

func newSkewed(t *testing.T, off time.Duration) *skewed {
	now := func() time.Time { return time.Now().Add(off) }
	u, schema := pgtest.Split(pgtest.Place(t))
	u = withClock(t, u, schema, off)
	x := &skewed{now: now, runs: map[ulid.ULID][]time.Time{}}
	o := foreman.Options{PerSlot: 8, Slots: 4, Lease: time.Second, RetryDelay: time.Second, JobTTL: skewTTL}
	o.Webhook.Secret = "a secret"
	o.Webhook.Schedule = []time.Duration{time.Second}
	x.s = open(t, u, &postgres.Options{Schema: schema})
	x.wrong = newReplica(t, x.s, foreman.BackendFunc(x.run), o)
	mine := &postgres.Options{Schema: schema}
	mine.SetClock(now)
	x.right = newReplica(t, open(t, u, mine), foreman.BackendFunc(x.run), o)
	return x
}

// withClock puts the clock of a database off, for those who connect by the URL that it
// returns: theirs is found before PostgreSQL's own.
func withClock(t *testing.T, u, schema string, off time.Duration) string {
	clock := schema + "_clock"
	sql(t, u, "CREATE SCHEMA "+clock)
	t.Cleanup(func() { sql(t, u, "DROP SCHEMA "+clock+" CASCADE") })
	for name, kind := range map[string]string{"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"} {
		sql(t, u, fmt.Sprintf(`CREATE FUNCTION %[1]s.%[2]s() RETURNS timestamptz LANGUAGE sql %[3]s
			AS $$ SELECT pg_catalog.%[2]s() + interval '%[4]d seconds' $$`, clock, name, kind, int(off.Seconds())))
	}
	with := u + "&options=" + url.QueryEscape("-csearch_path="+clock+",pg_catalog")
	var now time.Time
	sql(t, with, "SELECT clock_timestamp()", &now)
	require.WithinDuration(t, time.Now().Add(off), now, time.Minute)
	return with
}

// run does what the model says.
func (x *skewed) run(ctx context.Context, task *foreman.Task) error {
	x.mu.Lock()
	x.runs[task.ID] = append(x.runs[task.ID], x.now())
	x.mu.Unlock()
	switch {
	case task.Spec.Model == "fails" && task.Attempt == 1:
		return errors.New("once")
	case task.Spec.Model == "lasts":
		select {
		case <-time.After(2500 * time.Millisecond): // two leases and a half
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (x *skewed) began(id ulid.ULID) []time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.runs[id])
}

// near is how exact the times of the test are.
const near = time.Second

func (x *skewed) check(t *testing.T) {
	x.checkCreated(t)
	var all sync.WaitGroup
	for _, at := range []*replica{x.wrong, x.right} {
		for _, check := range []func(*testing.T, *replica){
			x.checkRunAt, x.checkQueueTimeout, x.checkRetryDelay, x.checkLease, x.checkTTL, x.checkWebhook,
		} {
			all.Go(func() { check(t, at) })
		}
	}
	all.Wait()
	x.checkTakeover(t)
}

// What is submitted has the right time, and is listed in order, whoever took it.
func (x *skewed) checkCreated(t *testing.T) {
	var ids []ulid.ULID
	for n := range 10 {
		r := [...]*replica{x.wrong, x.right}[n%2]
		j, err := r.Submit(t.Context(), foreman.Spec{Model: "later", RunAt: x.now().Add(24 * time.Hour)})
		require.NoError(t, err)
		require.WithinDuration(t, x.now(), j.CreatedAt, near)
		require.WithinDuration(t, j.CreatedAt, j.ID.Timestamp(), time.Millisecond)
		ids = append(ids, j.ID)
		for begun := time.Now(); time.Since(begun) < 20*time.Millisecond; { // more than clocks of processes differ
			_, err := r.Status(t.Context(), j.ID)
			require.NoError(t, err)
		}
	}
	page, err := x.wrong.List(t.Context(), foreman.Query{})
	require.NoError(t, err)
	var listed []ulid.ULID
	for _, j := range slices.Backward(page.Jobs) {
		listed = append(listed, j.ID)
	}
	require.Equal(t, ids, listed)
	_, err = x.wrong.Submit(t.Context(), foreman.Spec{Model: "m", RunAt: x.now().Add(10*365*24*time.Hour + 30*time.Minute)})
	require.ErrorContains(t, err, "run_at must be within ten years")
}

func (x *skewed) checkRunAt(t *testing.T, r *replica) {
	at := x.now().Add(2 * time.Second)
	id := r.submit(t, foreman.Spec{RunAt: at})
	require.Equal(t, foreman.Done, r.await(t, id).State)
	require.WithinRange(t, x.began(id)[0], at.Add(-near/10), at.Add(2*near))
}

func (x *skewed) checkQueueTimeout(t *testing.T, r *replica) {
	paused := "paused " + r.url
	require.NoError(t, r.Pause(t.Context(), paused))
	id := r.submit(t, foreman.Spec{Model: paused, QueueTimeout: 2 * time.Second})
	due := x.now().Add(2 * time.Second)
	j := r.await(t, id)
	require.Equal(t, foreman.QueueTimeout, j.Error.Type)
	require.WithinRange(t, j.FinishedAt, due.Add(-near), due.Add(2*near))
	require.WithinRange(t, x.now(), due.Add(-near), due.Add(2*near))
}

func (x *skewed) checkRetryDelay(t *testing.T, r *replica) {
	id := r.submit(t, foreman.Spec{Model: "fails"})
	require.Equal(t, foreman.Done, r.await(t, id).State)
	began := x.began(id)
	require.Len(t, began, 2)
	require.WithinRange(t, began[1], began[0].Add(750*time.Millisecond), began[0].Add(1200*time.Millisecond+2*near))
}

// A job that runs for longer than its lease is not taken away.
func (x *skewed) checkLease(t *testing.T, r *replica) {
	id := r.submit(t, foreman.Spec{Model: "lasts"})
	j := r.await(t, id)
	require.Equal(t, foreman.Done, j.State)
	require.Len(t, x.began(id), 1)
	require.Len(t, r.changes(t, id), 3)
	require.WithinDuration(t, x.now(), j.FinishedAt, near)
	require.WithinDuration(t, j.FinishedAt.Add(-2500*time.Millisecond), j.StartedAt, near)
}

// What has ended is there for its time, and no longer.
func (x *skewed) checkTTL(t *testing.T, r *replica) {
	id := r.submit(t, foreman.Spec{})
	j := r.await(t, id)
	require.WithinDuration(t, j.FinishedAt.Add(skewTTL), j.ExpiresAt, time.Millisecond)
	require.Eventually(t, func() bool {
		_, err := r.Status(t.Context(), id)
		return errors.Is(err, foreman.ErrNotFound)
	}, patience, 10*time.Millisecond)
	require.WithinRange(t, x.now(), j.ExpiresAt, j.ExpiresAt.Add(3*near))
}

// The second attempt at a webhook comes when it is due, and both have the right time.
func (x *skewed) checkWebhook(t *testing.T, r *replica) {
	hook := webhooktest.NewReceiver(t, &webhooktest.Options{Secrets: []string{"a secret"}, Tolerance: 2 * time.Hour})
	hook.Script(webhooktest.Status(500))
	id := r.submit(t, foreman.Spec{StateWebhookURL: hook.URL(), WebhookEvents: []foreman.State{foreman.Queued}})
	got, err := hook.Wait(t.Context(), 2)
	require.NoError(t, err)
	require.WithinRange(t, got[1].Time, got[0].Time.Add(750*time.Millisecond), got[0].Time.Add(1200*time.Millisecond+2*near))
	for _, d := range got {
		require.NoError(t, d.Err)
		said, err := strconv.ParseInt(d.Header.Get("Webhook-Timestamp"), 10, 64)
		require.NoError(t, err)
		require.WithinDuration(t, x.now(), time.Unix(said, 0), 5*near)
		require.WithinDuration(t, x.now(), d.Event.Timestamp, 5*near)
	}
	require.True(t, strings.HasPrefix(got[0].ID(), id.String()))
}

// What a process has that has died is taken over when its lease has run out, and no
// sooner.
func (x *skewed) checkTakeover(t *testing.T) {
	x.wrong.stop()
	x.right.stop()
	for _, r := range []*replica{x.wrong, x.right} {
		id := r.submit(t, foreman.Spec{})
		records, err := x.s.Claim(t.Context(), store.Claim{Worker: "dead", Lane: "m", Limit: 1, Lease: 2 * time.Second}, begun)
		require.NoError(t, err)
		require.Len(t, records, 1)
		over := x.now().Add(2 * time.Second)
		require.WithinDuration(t, over, records[0].Deadline, near)
		r.start(t)
		require.Equal(t, foreman.Done, r.await(t, id).State)
		require.WithinRange(t, x.began(id)[0], over.Add(-near/10), over.Add(3*near))
		r.stop()
	}
}

// begun is what a claim makes of a job.
func begun(r store.Record) store.Change {
	r.State, r.Attempt, r.Seq = store.Working, r.Attempt+1, r.Seq+1
	return store.Change{Head: r.Head, Events: []store.Event{{Seq: r.Seq, Data: []byte(`{"state":"working","attempt":1}`)}}}
}
