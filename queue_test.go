package foreman_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

func TestPause(t *testing.T) {
	t.Run("everything", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			f := newForeman(t, g, foreman.Options{})
			start(t, f)
			running := submit(t, f, foreman.Spec{})
			<-g.began
			require.NoError(t, f.Pause(t.Context()))
			waiting := submit(t, f, foreman.Spec{})
			called := make(chan error, 1)
			go func() {
				called <- f.Do(t.Context(), foreman.Spec{Model: "m"}, func(context.Context, foreman.Turn) error { return nil })
			}()
			g.end <- nil
			require.Equal(t, foreman.Done, await(t, f, running).State, "what runs goes on")
			time.Sleep(time.Hour)
			require.Empty(t, g.began)
			require.Empty(t, called)
			require.Equal(t, "paused", status(t, f, waiting).Queue.WaitingFor)
			require.NoError(t, f.Resume(t.Context()))
			require.NoError(t, <-called)
			<-g.began
			g.end <- nil
			await(t, f, waiting)
		})
	})
	t.Run("one lane, and durably", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			o := foreman.Options{Dir: t.TempDir()}
			f, err := foreman.New(g, &foreman.Options{Dir: o.Dir, Logger: quiet})
			require.NoError(t, err)
			require.NoError(t, f.Pause(t.Context(), "a"))
			require.NoError(t, f.Close())
			f = newForeman(t, g, o)
			start(t, f)
			a := submit(t, f, foreman.Spec{Model: "a"})
			b := submit(t, f, foreman.Spec{Model: "b"})
			<-g.began
			g.end <- nil
			await(t, f, b)
			time.Sleep(time.Hour)
			require.Empty(t, g.began)
			require.NoError(t, f.Resume(t.Context()), "which leaves paused what was named")
			time.Sleep(time.Hour)
			require.Equal(t, "paused", status(t, f, a).Queue.WaitingFor)
			require.NoError(t, f.Resume(t.Context(), "a"))
			<-g.began
			g.end <- nil
			await(t, f, a)
		})
	})
	t.Run("what was claimed ahead does not begin", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			f := newForeman(t, g, foreman.Options{})
			start(t, f)
			for range 200 { // quick ones, so that many are claimed ahead
				submit(t, f, foreman.Spec{})
			}
			for range 50 {
				<-g.began
				g.end <- nil
			}
			<-g.began
			require.NoError(t, f.Pause(t.Context()))
			g.end <- nil
			time.Sleep(time.Minute)
			require.Empty(t, g.began)
			q, err := f.Queue(t.Context())
			require.NoError(t, err)
			require.Equal(t, 149, q.Lanes[0].Jobs, "all are back")
		})
	})
}

// asWho is a handler whose callers say who they are; root is an admin.
func asWho(f *foreman.Foreman) http.Handler {
	h := f.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := foreman.Caller{Owner: r.Header.Get("X-Who")}
		c.Admin = c.Owner == "root"
		h.ServeHTTP(w, r.WithContext(foreman.WithCaller(r.Context(), c)))
	})
}

func TestQueueOverHTTP(t *testing.T) {
	g := newGate()
	f := newForeman(t, foreman.Pools{
		{Name: "gpu", Backend: g},
		{Name: "other", Backend: g, Serves: func(m string) bool { return m == "special" }, Slots: 2, PerSlot: 3},
	}, foreman.Options{})
	start(t, f)
	a := serveAt(t, f, asWho(f))
	running := a.post("/jobs", `{"model":"m"}`, "X-Who", "ann").is(http.StatusAccepted).job().JobID
	<-g.began
	for range 3 {
		a.post("/jobs", `{"model":"n","priority":2}`, "X-Who", "bob").is(http.StatusAccepted)
	}
	type lane struct {
		Lane, Model   string
		Jobs, Callers int
		Priority      int
		Since         time.Time `json:"oldest_since"`
		Age           string    `json:"oldest_age"`
		Paused        bool
	}
	type queue struct {
		Paused bool
		Lanes  []lane
		Slots  []struct {
			Pool, Lane, State string
			Slot, Places      int
			Running           []struct {
				JobID string `json:"job_id"`
				Model string
				Owner string
			}
		}
		Pools []struct {
			Pool string
			Up   bool
		}
	}
	get := func(who string) (q queue) {
		a.get("/queue", "X-Who", who).is(http.StatusOK).into(&q)
		return q
	}
	q := get("root")
	require.False(t, q.Paused)
	require.Len(t, q.Lanes, 1)
	require.NotEmpty(t, q.Lanes[0].Age)
	q.Lanes[0].Age, q.Lanes[0].Since = "", time.Time{}
	require.Equal(t, lane{Lane: "n", Model: "n", Jobs: 3, Priority: 2}, q.Lanes[0])
	require.Len(t, q.Slots, 3)
	require.Equal(t, "gpu running m 1 1", q.Slots[0].Pool+" "+q.Slots[0].State+" "+q.Slots[0].Lane+" 1 1")
	require.Equal(t, running, q.Slots[0].Running[0].JobID)
	require.Equal(t, "ann", q.Slots[0].Running[0].Owner)
	require.Equal(t, 3, q.Slots[2].Places)
	require.Equal(t, "idle", q.Slots[2].State)
	require.True(t, q.Pools[0].Up)

	require.Equal(t, running, get("ann").Slots[0].Running[0].JobID)
	require.Empty(t, get("bob").Slots[0].Running[0].JobID, "it is ann's")
	require.Empty(t, get("bob").Slots[0].Running[0].Owner)

	a.post("/queue/pause", "", "X-Who", "bob").fails(http.StatusForbidden, foreman.ErrForbidden)
	a.post("/queue/resume", "", "X-Who", "bob").fails(http.StatusForbidden, foreman.ErrForbidden)
	for _, body := range []string{`[]`, `{"lanes":["n"]}`, `{"lane":""}`, `{"lane":3}`, `{"lane":"n"`, `{"lane":"n","lane":"m"}`} {
		r := a.post("/queue/pause", body, "X-Who", "root")
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, r.status, body)
	}
	require.False(t, get("root").Paused, "which changed nothing")
	a.post("/queue/pause", `{"lane":"n"}`, "X-Who", "root").is(http.StatusOK).into(&q)
	require.True(t, q.Lanes[0].Paused)
	require.False(t, q.Paused)
	a.post("/queue/pause", `{}`, "X-Who", "root").is(http.StatusOK).into(&q)
	require.True(t, q.Paused)
	a.post("/queue/resume", ``, "X-Who", "root").is(http.StatusOK).into(&q)
	require.False(t, q.Paused)
	a.post("/queue/resume", `{"lane":"n"}`, "X-Who", "root").is(http.StatusOK)
	q = get("root")
	require.False(t, slices.ContainsFunc(q.Lanes, func(l lane) bool { return l.Paused }))
	a.get("/queue?x=1", "X-Who", "root").fails(http.StatusBadRequest, foreman.ErrMalformed)
	for range 4 {
		g.end <- nil
	}
}
