package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	_ "gocloud.dev/blob/fileblob"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/artifact/blobstore"
	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store/postgres"
	"github.com/foreman-go/foreman/webhook/webhooktest"
)

// pair are two processes on one queue and one bucket. The first alone serves the model m.
type pair struct {
	runs, other *replica
	began       chan *foreman.Task
	end         chan struct{}
	soon        time.Duration // in which one hears what the other has done
	live        bool          // output of the other is shown
}

func newPair(t *testing.T, place string, poll bool) *pair {
	p := &pair{began: make(chan *foreman.Task, 10), end: make(chan struct{}), soon: 500 * time.Millisecond, live: !poll}
	if poll {
		p.soon = 2500 * time.Millisecond
	}
	url, schema := pgtest.Split(place)
	bucket := "file://" + filepath.ToSlash(t.TempDir())
	join := func(pool foreman.Pool) *replica {
		artifacts, err := blobstore.Open(t.Context(), bucket, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, artifacts.Close()) })
		s := open(t, url, &postgres.Options{Schema: schema, PollOnly: poll})
		// A look at the store because of its lease would come too late for the test.
		return newReplica(t, s, foreman.Pools{pool}, foreman.Options{Artifacts: artifacts, Lease: time.Minute})
	}
	p.runs = join(foreman.Pool{Name: "a", Backend: foreman.BackendFunc(p.run)})
	p.other = join(foreman.Pool{Name: "b", Backend: foreman.BackendFunc(p.run), Serves: func(model string) bool { return model == "elsewhere" }})
	return p
}

func (p *pair) run(ctx context.Context, task *foreman.Task) error {
	if _, err := task.Artifact("out", "text/plain", strings.NewReader(strings.Repeat("0123456789", 40_000))); err != nil {
		return err
	}
	p.began <- task
	select {
	case <-p.end:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin has a job run at the first.
func (p *pair) begin(t *testing.T, s foreman.Spec) (id ulid.ULID, task *foreman.Task) {
	id = p.runs.submit(t, s)
	select {
	case task = <-p.began:
	case <-time.After(patience):
		require.FailNow(t, "it has not begun")
	}
	return id, task
}

// TestWhicheverReplica has callers ask the process that does not run their job.
func TestWhicheverReplica(t *testing.T) {
	for name, c := range map[string]struct {
		place func(testing.TB) string
		poll  bool
	}{
		"messages":  {pgtest.Place, false},
		"poll":      {pgtest.Place, true},
		"PgBouncer": {pgtest.PooledPlace, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, c.place(t), c.poll)
			t.Run("cancel", p.cancel)
			t.Run("stream", p.stream)
			t.Run("wait", p.wait)
			t.Run("pause", p.pause)
			t.Run("ended", p.ended)
		})
	}
}

func (p *pair) cancel(t *testing.T) {
	id, _ := p.begin(t, foreman.Spec{})
	begun := time.Now()
	a, err := p.other.ask(t.Context(), http.MethodPost, "/jobs/"+id.String()+"/cancel", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, a.status)
	require.Equal(t, foreman.Canceled, p.runs.await(t, id).State)
	require.Less(t, time.Since(begun), p.soon)
}

// told is an event of a stream.
type told struct{ kind, id, data string }

// follow streams the events of a job from a replica.
func follow(t *testing.T, r *replica, id ulid.ULID, last string) (events <-chan told, leave func()) {
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/jobs/"+id.String()+"/events", nil)
	require.NoError(t, err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	out := make(chan told, 100)
	go func() {
		defer close(out)
		defer func() { _ = resp.Body.Close() }()
		var e told
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.kind = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.kind != "" {
					out <- e
				}
				e = told{}
			}
		}
	}()
	t.Cleanup(cancel)
	return out, cancel
}

// next is the next event of a stream, which has to come soon.
func (p *pair) next(t *testing.T, events <-chan told) told {
	t.Helper()
	select {
	case e, ok := <-events:
		require.True(t, ok, "the stream has ended")
		return e
	case <-time.After(p.soon + 2*time.Second):
		require.FailNow(t, "nothing comes")
		return told{}
	}
}

// Who watches at one, and goes on at the other, misses nothing and is told nothing twice.
func (p *pair) stream(t *testing.T) {
	id, task := p.begin(t, foreman.Spec{})
	at, leave := follow(t, p.runs, id, "")
	require.Contains(t, p.next(t, at).data, `"state":"queued"`)
	require.Contains(t, p.next(t, at).data, `"state":"working"`)
	_, err := io.WriteString(task, "one ")
	require.NoError(t, err)
	e := p.next(t, at)
	require.Equal(t, `{"text":"one "}`, e.data)
	leave()
	_, err = io.WriteString(task, "two ")
	require.NoError(t, err)

	at, _ = follow(t, p.other, id, e.id)
	if p.live {
		require.Equal(t, `{"text":"two "}`, p.next(t, at).data)
		_, err = io.WriteString(task, "three")
		require.NoError(t, err)
		require.Equal(t, `{"text":"three"}`, p.next(t, at).data)
	}
	begun := time.Now()
	p.end <- struct{}{}
	e = p.next(t, at)
	require.Contains(t, e.data, `"state":"done"`)
	require.Equal(t, "3", e.id)
	require.Less(t, time.Since(begun), p.soon)
	_, more := <-at
	require.False(t, more)
}

func (p *pair) wait(t *testing.T) {
	id, _ := p.begin(t, foreman.Spec{})
	answered := make(chan answer, 1)
	go func() {
		if a, err := p.other.ask(t.Context(), http.MethodGet, "/jobs/"+id.String(), "", "Prefer: wait=30"); err == nil {
			answered <- a
		}
	}()
	select {
	case a := <-answered:
		require.FailNow(t, "it did not wait", a.body)
	case <-time.After(50 * time.Millisecond):
	}
	begun := time.Now()
	p.end <- struct{}{}
	select {
	case a := <-answered:
		require.Contains(t, a.body, `"state":"done"`)
		require.Less(t, time.Since(begun), p.soon)
	case <-time.After(patience):
		require.FailNow(t, "no answer")
	}
}

func (p *pair) pause(t *testing.T) {
	a, err := p.other.ask(t.Context(), http.MethodPost, "/queue/pause", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status)
	id := p.runs.submit(t, foreman.Spec{})
	require.Eventually(t, func() bool {
		return strings.Contains(p.runs.get(t, "/jobs/"+id.String()).body, `"waiting_for":"paused"`)
	}, patience, 10*time.Millisecond)
	require.Empty(t, p.began)
	begun := time.Now()
	a, err = p.other.ask(t.Context(), http.MethodPost, "/queue/resume", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status)
	<-p.began
	require.Less(t, time.Since(begun), p.soon)
	p.end <- struct{}{}
	p.runs.await(t, id)
}

// What a job leaves is at the other as well: its artifact, its events, its webhooks.
func (p *pair) ended(t *testing.T) {
	hook := webhooktest.NewReceiver(t, nil)
	id, _ := p.begin(t, foreman.Spec{StateWebhookURL: hook.URL()})
	p.end <- struct{}{}
	p.other.await(t, id)
	self := "/jobs/" + id.String()
	a := p.other.get(t, self+"/artifacts/out", "Range: bytes=10-14")
	require.Equal(t, http.StatusPartialContent, a.status)
	require.Equal(t, "01234", a.body)
	require.Equal(t, "bytes 10-14/400000", a.header.Get("Content-Range"))

	var feed struct {
		Events []struct {
			JobID    string `json:"job_id"`
			Sequence uint64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(p.other.get(t, "/events?limit=1000").body), &feed))
	var own []uint64
	for _, e := range feed.Events {
		if e.JobID == id.String() {
			own = append(own, e.Sequence)
		}
	}
	require.Equal(t, []uint64{1, 2, 3}, own)

	_, err := hook.Wait(t.Context(), 3)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return strings.Count(p.other.get(t, self+"/deliveries").body, `"status":"delivered"`) == 3
	}, patience, 10*time.Millisecond)
}
