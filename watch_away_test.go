package foreman_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// A stream goes on while the store is away: output comes, and comments, and then what has
// changed. Nobody begins one.
func TestWatchWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &distant{Store: openStore(t)}
		g := newGate()
		f := newForeman(t, g, foreman.Options{Store: s})
		start(t, f)
		id := submit(t, f, foreman.Spec{})
		task := <-g.began
		w := httptest.NewRecorder()
		streamed := make(chan struct{})
		go func() {
			defer close(streamed)
			f.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/jobs/"+id.String()+"/events", http.NoBody))
		}()
		synctest.Wait()
		var told []string
		for e, err := range f.Watch(t.Context(), id, 0) {
			require.NoError(t, err)
			told = append(told, fmt.Sprint(e.State, string(e.Output)))
			switch len(told) {
			case 2:
				s.cut.Store(true)
				_, err := f.Status(t.Context(), id)
				require.ErrorIs(t, err, foreman.ErrUnavailable)
				for _, err := range f.Watch(t.Context(), id, 0) {
					require.ErrorIs(t, err, foreman.ErrUnavailable)
				}
				go func() {
					time.Sleep(time.Minute)
					_, _ = task.Write([]byte("while it is away"))
					time.Sleep(time.Minute)
					g.end <- nil
					time.Sleep(time.Minute)
					s.cut.Store(false)
				}()
			case 3:
				require.True(t, s.cut.Load(), "output comes at once")
			}
		}
		require.Equal(t, []string{"queued", "working", "while it is away", "done"}, told)
		<-streamed
		require.Contains(t, w.Body.String(), `{"text":"while it is away"}`)
		require.Contains(t, w.Body.String(), `"state":"done"`)
		require.GreaterOrEqual(t, strings.Count(w.Body.String(), "\n:\n"), 8, "comments, one in 15 s")
	})
}
