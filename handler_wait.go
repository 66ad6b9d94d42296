package foreman

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/internal/prefer"
)

// maxHold is the longest that a request can ask to be held with Prefer: wait=N.
const maxHold = 60 * time.Second

// writeWait is how long a caller may take to receive what is written at once.
const writeWait = 30 * time.Second

// hold waits until a job has ended, as long as the caller prefers, and returns it as
// it is then. When too many wait already, it does not.
func (h *handler) hold(w http.ResponseWriter, r *http.Request, j *Job) (*Job, error) {
	d := prefer.Wait(r.Header, maxHold)
	if d == 0 || !j.State.Terminal() && h.f.hub.full() {
		return j, nil
	}
	if !j.State.Terminal() {
		extend(w, d+writeWait)
		var err error
		if j, err = h.f.awaitEnd(r.Context(), j.ID, d); err != nil {
			return nil, err
		}
	}
	w.Header().Set("Preference-Applied", fmt.Sprintf("wait=%d", d/time.Second))
	return j, nil
}

// awaitEnd returns a job when it has ended, or as it is when d is over.
func (f *Foreman) awaitEnd(ctx context.Context, id ulid.ULID, d time.Duration) (*Job, error) {
	me := f.hub.watch(id, false)
	defer f.hub.leave(id, me)
	looks, stop := f.peers.looks()
	defer stop()
	t := time.NewTimer(d)
	defer t.Stop()
	for over := false; ; {
		j, err := f.Status(ctx, id)
		if err != nil || j.State.Terminal() || over {
			return j, err
		}
		select {
		case <-me.news:
		case <-looks:
		case <-t.C:
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// extend gives a request more time than the WriteTimeout of the server, which was made
// for requests that do not wait. Its ReadTimeout ends with the request's body.
func extend(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // whoever has none needs none
}
