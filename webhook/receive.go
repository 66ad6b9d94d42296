package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// ErrGone makes a [Verifier.Handler] answer 410, on which the sender stops all that
// the job has still to tell. An event that can never be handled, but others of the
// job can, is better taken: the next ones wait until it is delivered or given up.
var ErrGone = errors.New("webhook: the receiver wants no more of this job")

// Received is an event that was verified.
type Received struct {
	ID        string    // webhook-id: the same whenever this event comes
	Timestamp time.Time // of this attempt; that of the change is in Event
	Event     Event
	Body      []byte // the bytes that were signed; next may keep them
}

// Handler returns a handler that verifies requests and gives the events in them
// to next. It answers
//
//	204  when next returns nil, and for a duplicate, of which next is not told
//	400  if the body cannot be read, or is not an Event with a job_id and a state
//	401  if it is not signed as Verify demands
//	405  to any method but POST
//	410  when next returns an error that wraps ErrGone
//	413  if the body is larger than MaxBody
//	500  when next or Duplicate returns another error: the event comes again
//
// A request without the right headers is refused before its body is read. The
// text of next's errors goes to the logger and not to the sender.
//
// An event may come more than once, and twice at the same time, when a sender
// that has waited for an answer long enough tries again. A next whose effect must
// happen once records d.ID in the transaction of the effect, where it is unique,
// and returns nil if it is there already. To record it before loses an event when
// the process dies in between, and to record it after does it twice. Where only
// the newest state of a job matters, the highest Sequence of each job does as well
// as all the IDs, and takes less room: what is not above it changes nothing.
//
// The context that next gets ends when the sender goes away, which one of this
// package does after 15 seconds: what takes longer should be put down and done
// afterwards. The server around the handler should have a ReadTimeout.
func (v *Verifier) Handler(next func(ctx context.Context, d Received) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, refused := v.receive(w, r)
		if refused == nil {
			refused = v.pass(r.Context(), d, next)
		}
		if refused == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		level := slog.LevelWarn
		if refused.status == http.StatusInternalServerError {
			level = slog.LevelError
		}
		v.log.Log(r.Context(), level, "webhook refused", "status", refused.status,
			"webhook_id", d.ID, "job_id", d.Event.JobID, "error", refused.err)
		http.Error(w, refused.text, refused.status)
	})
}

// refusal is an answer that is not 2xx: text is for the sender, err for the log.
type refusal struct {
	status int
	text   string
	err    error
}

func refuse(status int, err error) *refusal { return &refusal{status, err.Error(), err} }

// receive reads and verifies a request.
func (v *Verifier) receive(w http.ResponseWriter, r *http.Request) (d Received, no *refusal) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return d, refuse(http.StatusMethodNotAllowed, errors.New("webhook: events come by POST"))
	}
	p, err := v.read(r.Header, time.Now())
	if err != nil {
		return d, refuse(http.StatusUnauthorized, err)
	}
	body, no := v.readBody(w, r)
	if no != nil {
		return d, no
	}
	if err := v.check(p, body); err != nil {
		return d, refuse(http.StatusUnauthorized, err)
	}
	d = Received{ID: p.id, Timestamp: p.timestamp, Body: body}
	if err := json.Unmarshal(body, &d.Event); err != nil {
		return d, refuse(http.StatusBadRequest, fmt.Errorf("webhook: the body is not an event: %w", err))
	}
	if d.Event.JobID == "" || d.Event.State == "" {
		return d, refuse(http.StatusBadRequest, errors.New("webhook: the body is not an event: it has no job_id or no state"))
	}
	return d, nil
}

func (v *Verifier) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	tooLarge := refuse(http.StatusRequestEntityTooLarge,
		fmt.Errorf("webhook: the body has more than %d bytes: raise MaxBody, or let jobs keep large results as artifacts", v.maxBody))
	if r.ContentLength > v.maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, v.maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "webhook: the body cannot be read", err}
	}
	return body, nil
}

// pass gives d to next, unless it has been handled.
func (v *Verifier) pass(ctx context.Context, d Received, next func(ctx context.Context, d Received) error) *refusal {
	const text = "webhook: the event cannot be handled now: send it again"
	if v.duplicate != nil {
		switch seen, err := v.duplicate(ctx, d.ID); {
		case err != nil:
			return &refusal{http.StatusInternalServerError, text, err}
		case seen:
			return nil
		}
	}
	switch err := next(ctx, d); {
	case err == nil:
		return nil
	case errors.Is(err, ErrGone):
		return &refusal{http.StatusGone, ErrGone.Error(), err}
	default:
		return &refusal{http.StatusInternalServerError, text, err}
	}
}
