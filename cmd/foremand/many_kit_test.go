package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/foreman-go/foreman/webhook"
)

// fleet is some foremands that share a database and a bucket, each with a data directory
// of its own.
type fleet struct {
	args []string

	mu      sync.Mutex
	members []*process
}

// newFleet starts n foremands on a database, with more arguments.
func newFleet(t *testing.T, n int, database string, args ...string) *fleet {
	bucket := "file://" + filepath.ToSlash(t.TempDir())
	f := &fleet{members: make([]*process, n)}
	f.args = append([]string{"-store", database, "-artifacts", bucket}, args...)
	for i := range n {
		f.restart(t, i)
	}
	return f
}

// restart starts a foremand, in place of the one that there was.
func (f *fleet) restart(t *testing.T, i int) {
	p := start(t, append([]string{"-dev", "-data", t.TempDir()}, f.args...)...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[i] = p
}

// member is one of them, as if by a load balancer that does not look: n counts calls.
func (f *fleet) member(n int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[n%len(f.members)]
}

// running are the jobs that run in one of them.
func (p *process) running() (ids []string) {
	a, err := send(http.MethodGet, p.url+"/queue", "")
	var q struct {
		Slots []struct {
			Running []struct {
				JobID string `json:"job_id"`
			}
		}
	}
	if err != nil || json.Unmarshal(a.body, &q) != nil {
		return nil
	}
	for _, s := range q.Slots {
		for _, r := range s.Running {
			ids = append(ids, r.JobID)
		}
	}
	return ids
}

// follower reads the feed of a fleet, from whichever process answers, as it grows.
type follower struct {
	events []webhook.Event
	next   string
}

// read reads what there is, and reports whether it has come to the end.
func (w *follower) read(p *process) bool {
	if w.next == "" {
		w.next = "/events?limit=1000"
	}
	for {
		a, err := send(http.MethodGet, p.url+w.next, "")
		var page struct {
			Events []webhook.Event
			Next   string
		}
		if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &page) != nil {
			return false
		}
		w.events = append(w.events, page.Events...)
		w.next = page.Next
		if len(page.Events) == 0 {
			return true
		}
	}
}

// byJob are the events of each job, in the order in which they were read.
func (w *follower) byJob() map[string][]webhook.Event {
	all := map[string][]webhook.Event{}
	for _, e := range w.events {
		all[e.JobID] = append(all[e.JobID], e)
	}
	return all
}

// taken is how long after a moment a job that ran then was taken from the process that
// ran it; ok is false if it was not.
func taken(events []webhook.Event, since time.Time) (after time.Duration, ok bool) {
	for _, e := range events {
		if e.PreviousState == "working" && e.Timestamp.After(since) {
			return e.Timestamp.Sub(since), e.State == "queued"
		}
	}
	return 0, false
}
