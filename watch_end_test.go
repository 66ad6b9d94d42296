package foreman_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
)

// Output that comes, with the end of its job, while a watcher reads the changes of state
// is told before that end.
func TestTheLastOutputIsTold(t *testing.T) {
	typed := regexp.MustCompile(`(?m)^event: (\w+)\n(?:id: [\d:]+\n)?data: (?:.*"state":"(\w+)"|(.*))`)
	for name, watch := range map[string]func(*testing.T, *foreman.Foreman, ulid.ULID) []string{
		"by Watch": func(t *testing.T, f *foreman.Foreman, id ulid.ULID) (told []string) {
			for e, err := range f.Watch(t.Context(), id, 0) {
				require.NoError(t, err)
				told = append(told, fmt.Sprint(e.State, string(e.Output)))
			}
			return told
		},
		"by the stream": func(t *testing.T, f *foreman.Foreman, id ulid.ULID) (told []string) {
			w := httptest.NewRecorder()
			f.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/jobs/"+id.String()+"/events", http.NoBody))
			for _, m := range typed.FindAllStringSubmatch(w.Body.String(), -1) {
				told = append(told, m[2]+m[3])
			}
			return told
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				reads := 0
				s := &spied{Store: openStore(t)}
				f := newForeman(t, g, foreman.Options{Store: s, Dir: t.TempDir()})
				start(t, f)
				id := submit(t, f, foreman.Spec{})
				task := <-g.began
				s.reading = func() {
					if reads++; reads == 1 { // the watcher has just looked for output
						_, _ = task.Write([]byte("the last"))
						g.end <- nil
						time.Sleep(time.Second) // of the bubble: all that follows is done
					}
				}
				told := watch(t, f, id)
				require.Equal(t, 1, reads, "the end was found at once")
				if name == "by the stream" {
					require.Equal(t, []string{"queued", "working", `{"text":"the last"}`, "done"}, told)
					return
				}
				require.Equal(t, []string{"queued", "working", "the last", "done"}, told)
			})
		})
	}
}
