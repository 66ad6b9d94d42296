package foreman

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/store"
)

// A record keeps a job in three places: what changes in the head and its note,
// what was asked for in the spec, what came of it in the outcome. Spec and
// outcome are a line of JSON and then the input or the result as they are, so
// that neither is parsed to be passed on.

// keptSpec is the line of the spec. The rest of a [Spec] is in the head.
type keptSpec struct {
	WebhookURL    string        `json:"state_webhook_url,omitempty"`
	WebhookEvents []State       `json:"webhook_events,omitempty"`
	RunAt         *time.Time    `json:"run_at,omitempty"`
	QueueTimeout  time.Duration `json:"queue_timeout_ns,omitempty"`
	RunTimeout    time.Duration `json:"run_timeout_ns,omitempty"`
	BaseURL       string        `json:"base_url,omitempty"`
}

// keptOutcome is the line of the outcome.
type keptOutcome struct {
	Artifacts []keptArtifact `json:"artifacts,omitempty"`
}

type keptArtifact struct {
	artifact.Info
	Run uint64 `json:"run"`
}

// note is what the head keeps beside the fields that a store knows. It has
// MaxAttempts so that a list need not read specs.
type note struct {
	MaxAttempts      int        `json:"max_attempts"`
	CancelRequested  *time.Time `json:"cancel_requested_at,omitempty"`
	ArtifactsExpire  *time.Time `json:"artifacts_expire_at,omitempty"`
	ArtifactsRemoved bool       `json:"artifacts_removed,omitempty"`
	Error            *Error     `json:"error,omitempty"`
	// Partial is here, and not in the outcome, because a job has it before its end.
	Partial *keptArtifact `json:"partial,omitempty"`
}

// Most notes have nothing to say but this, so it need not go through reflection.
const (
	plainStart = `{"max_attempts":`
	plainEnd   = `}`
)

func encodePlain(maxAttempts int) []byte {
	b := make([]byte, 0, len(plainStart)+4)
	b = strconv.AppendInt(append(b, plainStart...), int64(maxAttempts), 10)
	return append(b, plainEnd...)
}

func decodePlain(b []byte) (maxAttempts int, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(plainStart))
	if !ok {
		return 0, false
	}
	digits, ok := bytes.CutSuffix(rest, []byte(plainEnd))
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil
}

func (n *note) encode() ([]byte, error) {
	if *n == (note{MaxAttempts: n.MaxAttempts}) {
		return encodePlain(n.MaxAttempts), nil
	}
	return json.Marshal(n)
}

func (n *note) decode(b []byte) (err error) {
	var ok bool
	if n.MaxAttempts, ok = decodePlain(b); ok {
		return nil
	}
	return json.Unmarshal(b, n)
}

// plain reports whether a line would have nothing to say.
func (s *Spec) plain() bool {
	return s.StateWebhookURL == "" && len(s.WebhookEvents) == 0 && s.RunAt.IsZero() &&
		s.QueueTimeout == 0 && s.RunTimeout == 0 && s.BaseURL == ""
}

// lineMark is before the first line of a spec or an outcome.
const lineMark = 0

func joinLine(line any, rest []byte) ([]byte, error) {
	b, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 1+len(b)+1+len(rest))
	return append(append(append(append(out, lineMark), b...), '\n'), rest...), nil
}

func cutLine(b []byte, line any) (rest []byte, err error) {
	first, rest, ok := bytes.Cut(b, []byte{'\n'})
	if !ok || len(first) == 0 || first[0] != lineMark {
		return nil, fmt.Errorf("%w: a record has no first line", store.ErrDamaged)
	}
	if err := json.Unmarshal(first[1:], line); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return rest, nil
}

// encodeSpec is the input alone when there is nothing else to say, so that it need not
// be copied. A line begins with lineMark, which no JSON does.
func encodeSpec(s *Spec) ([]byte, error) {
	if s.plain() {
		return s.Input, nil
	}
	return joinLine(&keptSpec{
		WebhookURL: s.StateWebhookURL, WebhookEvents: s.WebhookEvents, RunAt: pointer(s.RunAt),
		QueueTimeout: s.QueueTimeout, RunTimeout: s.RunTimeout, BaseURL: s.BaseURL,
	}, s.Input)
}

func decodeSpec(b []byte, k *keptSpec) (input []byte, err error) {
	if len(b) > 0 && b[0] != lineMark {
		return b, nil
	}
	return cutLine(b, k) // which refuses one that is empty
}

// entry is a job with the head that it was read from.
type entry struct {
	Job
	head    store.Head
	partial *keptArtifact // which is among Artifacts too, unless these were not read
}

// fromHead reads what a head tells of a job.
func fromHead(h store.Head) (entry, error) {
	var n note
	if err := n.decode(h.Note); err != nil {
		return entry{}, fmt.Errorf("%w: job %s: %w", store.ErrDamaged, h.ID, err)
	}
	return entry{head: h, partial: n.Partial, Job: Job{
		ID: h.ID, State: State(h.State), Attempt: h.Attempt, Sequence: h.Seq, version: h.Version,
		Spec: Spec{
			Model: h.Kind, Priority: int(h.Priority), Labels: h.Labels, Owner: h.Owner,
			IdempotencyKey: h.IdempotencyKey, MaxAttempts: n.MaxAttempts,
		},
		CreatedAt: h.Created, StartedAt: h.Started, FinishedAt: h.Finished, ExpiresAt: h.Expires,
		CancelRequestedAt: value(n.CancelRequested), Error: n.Error,
		artifactsExpire: value(n.ArtifactsExpire), artifactsRemoved: n.ArtifactsRemoved,
	}}, nil
}

// fromRecord reads all that a record tells of a job.
func fromRecord(r store.Record) (entry, error) {
	e, err := fromHead(r.Head)
	if err != nil {
		return e, err
	}
	var k keptSpec
	if e.Spec.Input, err = decodeSpec(r.Spec, &k); err != nil {
		return e, err
	}
	e.Spec.StateWebhookURL, e.Spec.WebhookEvents, e.Spec.BaseURL = k.WebhookURL, k.WebhookEvents, k.BaseURL
	e.Spec.QueueTimeout, e.Spec.RunTimeout, e.Spec.RunAt = k.QueueTimeout, k.RunTimeout, value(k.RunAt)
	var o keptOutcome
	if r.Outcome != nil {
		result, err := cutLine(r.Outcome, &o)
		if err != nil {
			return e, err
		}
		if len(result) > 0 {
			e.Result = result
		}
	}
	if e.partial != nil {
		o.Artifacts = append(o.Artifacts, *e.partial)
	}
	for _, a := range o.Artifacts {
		e.Artifacts = append(e.Artifacts, Artifact{Info: a.Info, Removed: e.artifactsRemoved, run: a.Run})
	}
	return e, nil
}

func (e *entry) life() life {
	return life{
		state: e.State, attempt: e.Attempt, runAt: e.head.RunAt,
		startedAt: e.StartedAt, finishedAt: e.FinishedAt,
		expiresAt: e.ExpiresAt, artifactsExpire: e.artifactsExpire,
		cancelRequested: e.CancelRequestedAt, err: e.Error, deadline: e.head.Deadline,
	}
}

// setLife makes the head and the job those of the next life. It leaves the
// version, which the store counts up.
func (e *entry) setLife(l life) error {
	e.State, e.Attempt, e.StartedAt, e.FinishedAt = l.state, l.attempt, l.startedAt, l.finishedAt
	e.ExpiresAt, e.artifactsExpire, e.CancelRequestedAt, e.Error = l.expiresAt, l.artifactsExpire, l.cancelRequested, l.err
	h := &e.head
	h.State, h.Attempt, h.RunAt = store.State(l.state), l.attempt, l.runAt
	h.Started, h.Finished, h.Expires, h.Deadline = l.startedAt, l.finishedAt, l.expiresAt, l.deadline
	h.Seq, h.Worker = e.Sequence, ""
	n := note{
		MaxAttempts: e.Spec.MaxAttempts, CancelRequested: pointer(l.cancelRequested),
		ArtifactsExpire: pointer(l.artifactsExpire), ArtifactsRemoved: e.artifactsRemoved, Error: l.err,
		Partial: e.partial,
	}
	var err error
	h.Note, err = n.encode()
	return err
}

func (e *entry) outcome() ([]byte, error) {
	var k keptOutcome
	for _, a := range e.Artifacts {
		if e.partial == nil || a.Name != partialName {
			k.Artifacts = append(k.Artifacts, keptArtifact{a.Info, a.run})
		}
	}
	return joinLine(&k, e.Result)
}

// pointer is nil for the zero time, which JSON would otherwise spell out.
func pointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
