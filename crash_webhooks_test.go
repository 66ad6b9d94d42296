package foreman_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// crashWebhooks are such that nothing is given up, and nobody waits for long.
func crashWebhooks(dir string) foreman.Options {
	o := crashOptions(dir)
	o.Webhook.Timeout = 150 * time.Millisecond
	o.Webhook.Schedule = webhook.Schedule(slices.Repeat([]time.Duration{10 * time.Millisecond}, 1000))
	o.Webhook.Breaker = foreman.Breaker{Failures: 3, Delay: 20 * time.Millisecond, MaxDelay: 100 * time.Millisecond}
	return o
}

// TestCrashWebhooks kills a process with SIGKILL again and again while it delivers to
// three endpoints, of which one flaps and one is slow. In the end each event that was
// committed has been accepted by its receiver, and no other; the events of a job came in
// order, and what came more than once was the same each time.
func TestCrashWebhooks(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashWebhooksChild(dir)
	}
	c := &crash{dir: t.TempDir()}
	const secret = "crash test secret"
	for _, fault := range []func() *webhooktest.Answer{
		func() *webhooktest.Answer { return nil },
		flapping(),
		func() *webhooktest.Answer { time.Sleep(rand.N(40 * time.Millisecond)); return nil },
	} {
		c.hooks = append(c.hooks, newWitness(t, secret, func() *webhooktest.Answer {
			c.burn()
			defer c.burn()
			return fault()
		}))
	}
	for round := range *crashRounds {
		before := len(c.acknowledged)
		c.round(t, 1+rand.IntN(800))
		t.Logf("round %d: %d jobs acknowledged", round, len(c.acknowledged)-before)
	}

	f := newForeman(t, crashBackend, crashWebhooks(c.dir))
	stop := start(t, f)
	for _, j := range everyJob(t, f) {
		if !j.State.Terminal() {
			await(t, f, j.ID)
		}
	}
	require.Eventually(t, func() bool {
		s, err := f.WebhookStats(t.Context())
		return err == nil && s.Pending == 0
	}, 2*time.Minute, 20*time.Millisecond, "nothing is left to deliver")
	stop()

	committed := everyEvent(t, f)
	requireInOrder(t, committed)
	jobs := map[string]bool{}
	for _, e := range committed {
		jobs[e.job] = true
	}
	for _, id := range c.acknowledged {
		require.True(t, jobs[id], "acknowledged, and not in the feed: %q", id)
	}
	var accepted []told
	requests, again := 0, 0
	for _, w := range c.hooks {
		events, n, dup := w.events(t)
		requireInOrder(t, events)
		accepted, requests, again = append(accepted, events...), requests+n, again+dup
	}
	requireSame(t, committed, accepted)
	t.Logf("%d jobs acknowledged, %d there; %d events committed and accepted, and %d times again; %d requests",
		len(c.acknowledged), len(jobs), len(committed), again, requests)
}

// flapping is an endpoint that works for a while, and then fails in one way or another,
// in turn.
func flapping() func() *webhooktest.Answer {
	status, hang, reset := webhooktest.Status(500), webhooktest.Hang(), webhooktest.Reset()
	var turns []*webhooktest.Answer
	for _, fault := range []*webhooktest.Answer{&status, &hang, &reset} {
		turns = append(turns, make([]*webhooktest.Answer, 25)...)
		turns = append(turns, fault, fault, fault, fault)
	}
	var n atomic.Uint64
	return func() *webhooktest.Answer { return turns[n.Add(1)%uint64(len(turns))] }
}

// everyEvent is what the feed tells of, in its order.
func everyEvent(t *testing.T, f *foreman.Foreman) []told {
	var all []told
	for q := (foreman.FeedQuery{}); ; {
		page, err := f.Feed(t.Context(), q)
		require.NoError(t, err)
		for _, e := range page.Events {
			all = append(all, told{e.JobID.String(), e.Sequence})
		}
		if q.After = page.Next; !page.More {
			return all
		}
	}
}

// crash is a directory that processes work on and are killed, and what is known of it
// outside.
type crash struct {
	dir   string
	hooks []*witness
	fuse  atomic.Pointer[fuse]

	mu           sync.Mutex
	acknowledged []string // ids of jobs
}

// fuse is how many more things happen before the process is killed: a job is
// acknowledged, a webhook comes, or has been answered.
type fuse struct {
	left atomic.Int64
	blow func()
}

func (c *crash) burn() {
	if f := c.fuse.Load(); f != nil && f.left.Add(-1) == 0 {
		f.blow()
	}
}

// round starts a child and submits jobs to it until it is killed, when n things have
// happened.
func (c *crash) round(t *testing.T, n int) {
	cmd := childOf(t, crashDir+"="+c.dir)
	stdin, err := cmd.StdinPipe() // ends with this process, and the child with it
	require.NoError(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	// Things happen outside; a moment later it is also killed within.
	fuse := &fuse{blow: func() { time.AfterFunc(rand.N(5*time.Millisecond), func() { _ = cmd.Process.Kill() }) }}
	fuse.left.Store(int64(n))
	require.NoError(t, cmd.Start())
	c.fuse.Store(fuse)
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if fuse.left.Load() > 0 { // else what was left of the last round was enough to kill it
		require.NoError(t, err, "the child has not started")
	}
	if err == nil {
		c.submit(strings.TrimSpace(url))
	}
	require.Error(t, cmd.Wait(), "it was killed")
	require.LessOrEqual(t, fuse.left.Load(), int64(0), "and not for another reason")
}

// submit has jobs submitted from many goroutines until there is nobody to answer.
func (c *crash) submit(url string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := n; ; i++ {
				hook := c.hooks[i%len(c.hooks)].URL()
				id, err := acknowledged(client.Post(url+"/jobs", "application/json", strings.NewReader(
					fmt.Sprintf(`{"model":"m","input":"%d/%d","state_webhook_url":%q}`, n, i, hook))))
				if err != nil {
					return
				}
				c.mu.Lock()
				c.acknowledged = append(c.acknowledged, id)
				c.mu.Unlock()
				c.burn()
			}
		})
	}
	wg.Wait()
}

// acknowledged is the id of the job that a 202 tells of.
func acknowledged(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("answered %s", resp.Status)
	}
	var j struct {
		ID string `json:"job_id"`
	}
	err = json.NewDecoder(resp.Body).Decode(&j)
	return j.ID, err
}

// crashWebhooksChild serves until it is killed, and prints where.
func crashWebhooksChild(dir string) {
	o := crashWebhooks(dir)
	o.Logger = quiet
	f, err := foreman.New(crashBackend, &o)
	if err == nil {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
			go func() { _ = http.Serve(l, f.Handler()) }()
			go func() { _ = f.Run(context.Background()) }()
			_, _ = fmt.Printf("http://%s\n", l.Addr())
			_, err = io.Copy(io.Discard, os.Stdin) // until the parent has gone
		}
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	os.Exit(1)
}
