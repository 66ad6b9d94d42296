package foreman

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/webhook"
)

// jobJSON is a job as callers see it.
type jobJSON struct {
	JobID             string            `json:"job_id"`
	State             State             `json:"state"`
	Model             string            `json:"model"`
	Attempt           int               `json:"attempt"`
	MaxAttempts       int               `json:"max_attempts"`
	Sequence          uint64            `json:"sequence"`
	Priority          int               `json:"priority"`
	Labels            map[string]string `json:"labels,omitempty"`
	CreatedAt         time.Time         `json:"created_at"`
	StartedAt         time.Time         `json:"started_at,omitzero"`
	FinishedAt        time.Time         `json:"finished_at,omitzero"`
	ExpiresAt         time.Time         `json:"expires_at,omitzero"`
	RunAt             time.Time         `json:"run_at,omitzero"`
	QueueTimeout      string            `json:"queue_timeout,omitempty"`
	RunTimeout        string            `json:"run_timeout,omitempty"`
	CancelRequestedAt time.Time         `json:"cancel_requested_at,omitzero"`
	Queue             *queueJSON        `json:"queue,omitempty"`
	Progress          *Progress         `json:"progress,omitempty"`
	Result            json.RawMessage   `json:"result,omitempty"`
	Error             *Error            `json:"error,omitempty"`
	Artifacts         json.RawMessage   `json:"artifacts,omitempty"`
	Webhook           *WebhookStatus    `json:"webhook,omitempty"`
	Links             links             `json:"links"`
}

type queueJSON struct {
	Position   int       `json:"position,omitempty"`
	WaitingFor string    `json:"waiting_for"`
	ETA        time.Time `json:"eta,omitzero"`
	ETAMargin  string    `json:"eta_margin,omitempty"`
	ReadyAt    time.Time `json:"ready_at,omitzero"`
}

// jobAsJSON gives a job the form that it has in answers, with the links that stand
// below a base. Its artifacts have to be added.
func jobAsJSON(j *Job, base string) *jobJSON {
	out := &jobJSON{
		JobID: j.ID.String(), State: j.State, Model: j.Spec.Model, Attempt: j.Attempt,
		MaxAttempts: j.Spec.MaxAttempts, Sequence: j.Sequence, Priority: j.Spec.Priority, Labels: j.Spec.Labels,
		CreatedAt: j.CreatedAt.UTC(), StartedAt: j.StartedAt.UTC(), FinishedAt: j.FinishedAt.UTC(),
		ExpiresAt: j.ExpiresAt.UTC(), RunAt: j.Spec.RunAt.UTC(), CancelRequestedAt: j.CancelRequestedAt.UTC(),
		QueueTimeout: durationJSON(j.Spec.QueueTimeout), RunTimeout: durationJSON(j.Spec.RunTimeout),
		Progress: j.Progress, Result: j.Result, Error: j.Error, Webhook: j.Webhook,
		Links: linksTo(base, j.ID),
	}
	if q := j.Queue; q != nil {
		out.Queue = &queueJSON{Position: q.Position, WaitingFor: q.WaitingFor, ETA: q.ETA.UTC(), ETAMargin: durationJSON(q.Margin.Round(time.Millisecond)), ReadyAt: q.At.UTC()}
	}
	return out
}

// durationJSON is a duration as [time.ParseDuration] reads it; "" for none.
func durationJSON(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.String()
}

// whole is a job with its artifacts. Between reading the job and its artifacts these
// may be removed, by a retry or with the job: then it looks again. Those that are lost
// all the same, with a bucket say, are as if their time were over.
func (h *handler) whole(ctx context.Context, j *Job, base string) (*jobJSON, error) {
	for tries := 1; ; tries++ {
		metas, err := h.f.inline(ctx, j, base, func(_ *webhook.ArtifactMeta, err error) error { return err })
		if err == nil {
			out := jobAsJSON(j, base)
			out.Artifacts = webhook.FormatArtifacts(out.JobID, metas)
			return out, nil
		}
		const most = 3
		if !errors.Is(err, artifact.ErrNotFound) || tries > most {
			return nil, err
		}
		if j, err = h.f.Status(ctx, j.ID); err == nil && tries == most {
			err = h.f.markLost(ctx, j)
		}
		if err != nil {
			return nil, err
		}
	}
}

// markLost says of those artifacts of a job that are not there that they are removed.
func (f *Foreman) markLost(ctx context.Context, j *Job) error {
	for i := range j.Artifacts {
		a := &j.Artifacts[i]
		if a.Removed {
			continue
		}
		r, err := f.o.Artifacts.Open(ctx, artifactKey(j, a))
		switch {
		case err == nil:
			_ = r.Close() // nothing was read
		case errors.Is(err, artifact.ErrNotFound):
			a.Removed = true
		default:
			return fromArtifact(err)
		}
	}
	return nil
}

// eventJSON is a change of state as callers see it, with the names of the webhook.
type eventJSON struct {
	JobID         string    `json:"job_id"`
	State         State     `json:"state"`
	PreviousState State     `json:"previous_state"`
	Timestamp     time.Time `json:"timestamp"`
	Model         string    `json:"model"`
	Attempt       int       `json:"attempt"`
	Sequence      uint64    `json:"sequence"`
	Position      uint64    `json:"position,omitempty"` // in the feed only
	Error         *Error    `json:"error,omitempty"`
	Job           *jobJSON  `json:"job,omitempty"` // at the end of a stream only
}

func eventAsJSON(e *Event) eventJSON {
	return eventJSON{
		JobID: e.JobID.String(), State: e.State, PreviousState: e.PreviousState, Timestamp: e.Timestamp.UTC(),
		Model: e.Model, Attempt: e.Attempt, Sequence: e.Sequence, Error: e.Error,
	}
}

// sendJSON answers with v, which must be encodable.
func sendJSON(w http.ResponseWriter, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	send(w, status, "application/json", body)
	return nil
}

func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever has gone need not be told
}

// readyJSON is what GET /readyz says when there is something that can do work. Why a pool
// is out of reach is for the log: the text may name what callers are not to know.
type readyJSON struct {
	Status     string   `json:"status"`
	OutOfReach []string `json:"out_of_reach,omitempty"`
}
