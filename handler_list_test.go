package foreman_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/bolt"
)

// pages follows the next links of a list to its end.
func (a *api) pages(first string) (ids []string, pages int) {
	a.tb.Helper()
	for next := first; next != ""; pages++ {
		var p struct {
			Jobs []wireJob
			Next string
		}
		a.get(next).is(http.StatusOK).into(&p)
		require.NotNil(a.tb, p.Jobs)
		for _, j := range p.Jobs {
			require.Nil(a.tb, j.Result)
			require.Nil(a.tb, j.Artifacts)
			ids = append(ids, j.JobID)
		}
		next = p.Next
		require.Less(a.tb, pages, 1000)
	}
	return ids, pages
}

func TestListOverHTTP(t *testing.T) {
	f := newForeman(t, newGate(), foreman.Options{})
	a := newAPI(t, f)
	var all, blue, qwen []string
	for i := range 25 {
		model, team := "m", "red"
		if i%3 == 0 {
			model = "qwen3:30b"
		}
		if i%2 == 0 {
			team = "blue & green=1"
		}
		j := a.post("/jobs", fmt.Sprintf(`{"model":%q,"labels":{"team":%q,"n":"%d"}}`, model, team, i)).is(http.StatusAccepted).job()
		all = append([]string{j.JobID}, all...)
		if i%2 == 0 {
			blue = append([]string{j.JobID}, blue...)
		}
		if i%3 == 0 {
			qwen = append([]string{j.JobID}, qwen...)
		}
	}
	a.post("/jobs/"+all[0]+"/cancel", "").is(http.StatusOK)
	created := status(t, f, parseID(t, all[10])).CreatedAt.Format(time.RFC3339Nano)

	for _, tc := range []struct {
		query string
		want  []string
		pages int
	}{
		{"", all, 1},
		{"limit=10", all, 3},
		{"limit=1000", all, 1},
		{"limit=25", all, 1},
		{"limit=24", all, 2},
		{"limit=2&label=" + url.QueryEscape("team=blue & green=1"), blue, 7},
		{"limit=4&model=qwen3:30b", qwen, 3},
		{"state=canceled", all[:1], 1},
		{"state=queued&limit=5", all[1:], 5},
		{"state=done", []string{}, 1},
		{"label=team=red&label=n=1", all[23:24], 1},
		{"label=team=red&label=n=2", []string{}, 1},
		{"label=team=", []string{}, 1},
		{"created_after=" + url.QueryEscape(created), all[:10], 1},
		{"created_before=" + url.QueryEscape(created), all[11:], 1},
		{"created_after=2100-01-01T00:00:00Z", []string{}, 1},
		{"created_after=2000-01-01T00:00:00%2B02:00&limit=20", all, 2},
	} {
		t.Run(tc.query, func(t *testing.T) {
			ids, pages := a.pages("/jobs?" + tc.query)
			require.ElementsMatch(t, tc.want, ids)
			require.Equal(t, tc.pages, pages, "the last one has no next")
			if len(tc.want) > 0 {
				require.Equal(t, tc.want, ids, "newest first")
			}
		})
	}
}

// shortPages is a store that looks at three records for each page of a list.
type shortPages struct{ store.Store }

func (s shortPages) List(ctx context.Context, q store.Query) (store.Page, error) {
	p, err := s.Store.List(ctx, store.Query{Before: q.Before, Limit: 3})
	matching := store.Page{Next: p.Next}
	for _, h := range p.Heads {
		if q.State != "" && h.State != q.State {
			continue
		}
		if len(matching.Heads) == q.Limit {
			matching.Next = matching.Heads[q.Limit-1].ID
			break
		}
		matching.Heads = append(matching.Heads, h)
	}
	return matching, err
}

// A store may give less than a page, and the handler asks again, but not for ever.
func TestListOfShortPages(t *testing.T) {
	inner, err := bolt.Open(filepath.Join(t.TempDir(), "foreman.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inner.Close()) })
	f := newForeman(t, newGate(), foreman.Options{Store: shortPages{inner}})
	a := newAPI(t, f)
	var all []string
	for range 20 {
		all = append([]string{submit(t, f, foreman.Spec{}).String()}, all...)
	}
	canceled(t, f, parseID(t, all[19]))
	ids, pages := a.pages("/jobs?limit=8")
	require.Equal(t, all, ids)
	require.Equal(t, 3, pages)
	ids, pages = a.pages("/jobs?state=canceled")
	require.Equal(t, all[19:], ids)
	require.Equal(t, 2, pages, "the first one is empty, and not the last")
}

func TestFeedOverHTTP(t *testing.T) {
	f := newForeman(t, foreman.BackendFunc(func(context.Context, *foreman.Task) error { return nil }), foreman.Options{})
	a := newAPI(t, f)
	type page struct {
		Events []struct {
			JobID    string `json:"job_id"`
			State    foreman.State
			Sequence uint64
			Position uint64
		}
		Next string
	}
	var p page
	a.get("/events").is(http.StatusOK).into(&p)
	require.NotNil(t, p.Events)
	require.Empty(t, p.Events)
	empty := p.Next

	var want []string
	for range 5 {
		j := a.post("/jobs", `{"model":"m"}`).is(http.StatusAccepted).job()
		want = append(want, j.JobID)
	}
	start(t, f)
	for _, id := range want {
		a.get("/jobs/"+id, "Prefer", "wait=30")
	}
	seen := map[string][]foreman.State{}
	var last uint64
	next := empty + "&limit=4"
	for range 4 {
		p = page{}
		a.get(next).is(http.StatusOK).into(&p)
		for _, e := range p.Events {
			require.Greater(t, e.Position, last)
			last = e.Position
			seen[e.JobID] = append(seen[e.JobID], e.State)
			require.EqualValues(t, len(seen[e.JobID]), e.Sequence)
		}
		next = p.Next
	}
	require.Len(t, p.Events, 3, "five jobs have fifteen events")
	for _, id := range want {
		require.Equal(t, []foreman.State{foreman.Queued, foreman.Working, foreman.Done}, seen[id])
	}
	a.get(next).is(http.StatusOK).into(&p)
	require.Empty(t, p.Events)
	require.Equal(t, next, p.Next, "to be asked again")
	a.post("/jobs", `{"model":"m"}`).is(http.StatusAccepted)
	a.get(next).is(http.StatusOK).into(&p)
	require.NotEmpty(t, p.Events)
}

func TestOwners(t *testing.T) {
	f := newForeman(t, leavesAnArtifact, foreman.Options{})
	start(t, f)
	h := f.Handler()
	a := serveAt(t, f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := foreman.Caller{Owner: r.Header.Get("X-Who")}
		c.Admin = c.Owner == "root"
		h.ServeHTTP(w, r.WithContext(foreman.WithCaller(r.Context(), c)))
	}))
	as := func(who string) []string { return []string{"X-Who", who} }
	ann := a.post("/jobs", `{"model":"m"}`, "X-Who", "ann", "Prefer", "wait=30", "Idempotency-Key", "k").is(http.StatusOK)
	bob := a.post("/jobs", `{"model":"m"}`, "X-Who", "bob", "Prefer", "wait=30", "Idempotency-Key", "k").is(http.StatusOK)
	require.NotEqual(t, ann.job().JobID, bob.job().JobID, "a key belongs to its owner")
	require.Equal(t, "ann", status(t, f, parseID(t, ann.job().JobID)).Spec.Owner)

	unknown := a.get("/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", as("bob")...).fails(http.StatusNotFound, foreman.ErrNotFound)
	self := ann.job().Links["self"]
	for _, call := range [][2]string{
		{"GET", self},
		{"DELETE", self},
		{"POST", self + "/cancel"},
		{"POST", self + "/retry"},
		{"GET", self + "/events"},
		{"GET", self + "/artifacts"},
		{"GET", ann.job().Artifacts[0].URL},
	} {
		r := a.do(call[0], call[1], "", as("bob")...).fails(http.StatusNotFound, foreman.ErrNotFound)
		require.Equal(t, string(unknown.body), string(r.body), "as if there were no such job")
	}
	list := func(who string) (ids []string) {
		var p struct{ Jobs []wireJob }
		a.get("/jobs", as(who)...).is(http.StatusOK).into(&p)
		for _, j := range p.Jobs {
			ids = append(ids, j.JobID)
		}
		return ids
	}
	require.Equal(t, []string{ann.job().JobID}, list("ann"))
	require.Equal(t, []string{bob.job().JobID}, list("bob"))
	require.Empty(t, list("eve"))
	require.Len(t, list("root"), 2)
	feed := func(who string) map[string]int {
		var p struct{ Events []wireJob }
		a.get("/events", as(who)...).is(http.StatusOK).into(&p)
		n := map[string]int{}
		for _, e := range p.Events {
			n[e.JobID]++
		}
		return n
	}
	require.Equal(t, map[string]int{ann.job().JobID: 3}, feed("ann"))
	require.Empty(t, feed("eve"))
	require.Len(t, feed("root"), 2)

	a.get(self, as("ann")...).is(http.StatusOK)
	a.get(self, as("root")...).is(http.StatusOK)
	a.do("DELETE", self, "", as("ann")...).is(http.StatusNoContent)
	a.do("DELETE", bob.job().Links["self"], "", as("root")...).is(http.StatusNoContent)
	for _, path := range []string{"/jobs", "/jobs/" + bob.job().JobID, "/events"} {
		a.get(path, as("")...).fails(http.StatusInternalServerError, "internal")
	}
}
