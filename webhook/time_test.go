package webhook_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// inBubble runs test with a Dispatcher whose receiver is in memory, in time
// that passes at once when all wait.
func inBubble(t *testing.T, answer http.HandlerFunc, test func(t *testing.T, d *webhook.Dispatcher, r *receiver, l *logs)) {
	synctest.Test(t, func(t *testing.T) {
		wire := newPipes()
		r := &receiver{URL: "http://receiver", answer: answer}
		srv := &http.Server{Handler: r}
		go func() { _ = srv.Serve(wire) }()
		l := &logs{}
		d := webhook.NewDispatcher("secret", l.logger())
		d.Sender().Transport().DialContext = func(context.Context, string, string) (net.Conn, error) { return wire.dial() }
		test(t, d, r, l)
		require.NoError(t, srv.Close())
	})
}

// gaps returns the times between requests.
func gaps(r *receiver) []time.Duration {
	var list []time.Duration
	all := r.requests()
	for i := range len(all) - 1 {
		list = append(list, all[i+1].at.Sub(all[i].at))
	}
	return list
}

func TestFireBacksOff(t *testing.T) {
	inBubble(t, status(http.StatusInternalServerError), func(t *testing.T, d *webhook.Dispatcher, r *receiver, _ *logs) {
		start := time.Now()
		d.Fire(r.URL, event("1", "done"))
		require.NoError(t, d.Close(t.Context()))

		require.Len(t, r.requests(), 6)
		require.Equal(t, start, r.requests()[0].at, "first try at once")
		for i, gap := range gaps(r) {
			base := time.Second << i
			require.InDelta(t, base, gap, float64(base)/5, "gap %d", i+1)
			require.NotEqual(t, base, gap, "jitter")
		}
	})
}

func TestFireStampsEachAttempt(t *testing.T) {
	inBubble(t, status(500, 500, 200), func(t *testing.T, d *webhook.Dispatcher, r *receiver, _ *logs) {
		d.SetBaseDelay(time.Minute)
		d.Fire(r.URL, event("1", "done"))
		require.NoError(t, d.Close(t.Context()))
		require.Len(t, r.requests(), 3)
		signatures := make(map[string]bool)
		for _, got := range r.requests() {
			require.Equal(t, got.header.Get("webhook-timestamp"), unix(got.at))
			signatures[got.header.Get("webhook-signature")] = true
		}
		require.Len(t, signatures, 3)
	})
}

func TestFireHeedsRetryAfter(t *testing.T) {
	answer := func(w http.ResponseWriter, req *http.Request) {
		switch req.Header.Get("webhook-timestamp") {
		case unix(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)): // when the clock of a bubble starts
			w.Header().Set("Retry-After", "300")
			w.WriteHeader(http.StatusTooManyRequests)
		case unix(time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC)):
			w.Header().Set("Retry-After", "Sun, 02 Jan 2000 00:05:00 GMT")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	inBubble(t, answer, func(t *testing.T, d *webhook.Dispatcher, r *receiver, _ *logs) {
		d.Fire(r.URL, event("1", "done"))
		require.NoError(t, d.Close(t.Context()))
		require.Equal(t, []time.Duration{5 * time.Minute, 24 * time.Hour}, gaps(r))
	})
}

func TestFireTimesOut(t *testing.T) {
	stall := func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	inBubble(t, stall, func(t *testing.T, d *webhook.Dispatcher, r *receiver, l *logs) {
		d.Fire(r.URL, event("1", "done"))
		require.NoError(t, d.Close(t.Context()))
		require.Len(t, r.requests(), 6)
		for i, gap := range gaps(r) {
			base := time.Second << i
			require.InDelta(t, 15*time.Second+base, gap, float64(base)/5, "gap %d", i+1)
		}
		require.Contains(t, l.records(t, slog.LevelError)[0]["error"], "no answer within 15s")
	})
}

func TestCloseWaitsAsLongAsItMay(t *testing.T) {
	inBubble(t, status(http.StatusInternalServerError), func(t *testing.T, d *webhook.Dispatcher, r *receiver, _ *logs) {
		start := time.Now()
		d.Fire(r.URL, event("1", "done"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := d.Close(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "1 events")
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Len(t, r.requests(), 3, "at 0 s, about 1 s and about 3 s")
	})
}

func TestFireFindsRoomAgain(t *testing.T) {
	inBubble(t, status(http.StatusOK), func(t *testing.T, d *webhook.Dispatcher, r *receiver, l *logs) {
		for range 2 {
			for range webhook.MaxEvents {
				d.Fire(r.URL, event("1", "working"))
			}
			synctest.Wait()
		}
		large := event("1", "done")
		large.Model = strings.Repeat("x", 22<<20)
		for range 4 {
			d.Fire("", large) // given up at once
			synctest.Wait()
		}
		require.NoError(t, d.Close(t.Context()))
		require.Len(t, r.requests(), 2*webhook.MaxEvents)
		require.NotContains(t, l.String(), "no room")
	})
}

func TestCloseLeavesNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newPipes()
		var mu sync.Mutex
		states := make(map[http.ConnState]int)
		srv := &http.Server{
			Handler: status(http.StatusOK),
			ConnState: func(_ net.Conn, s http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				states[s]++
			},
		}
		go func() { _ = srv.Serve(wire) }()
		d := webhook.NewDispatcher("", nil)
		d.Sender().Transport().DialContext = func(context.Context, string, string) (net.Conn, error) { return wire.dial() }
		d.Fire("http://receiver", event("1", "done"))
		require.NoError(t, d.Close(t.Context()))
		synctest.Wait()
		mu.Lock()
		require.Equal(t, 1, states[http.StateNew])
		require.Equal(t, 1, states[http.StateClosed])
		mu.Unlock()
		require.NoError(t, srv.Close())
	})
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
