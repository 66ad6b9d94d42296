package foreman

import (
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
)

// State is the state of a job. See [Job] for how states follow each other.
type State string

// The states of a job.
const (
	Queued   State = "queued"   // waits for its turn, its time, or another attempt
	Working  State = "working"  // a backend runs it
	Done     State = "done"     // ended well
	Failed   State = "failed"   // ended with an error
	Canceled State = "canceled" // ended because somebody asked for it
)

// Terminal reports whether the state is an end: done, failed or canceled.
func (s State) Terminal() bool { return s == Done || s == Failed || s == Canceled }

func (s State) valid() bool { return s == Queued || s == Working || s.Terminal() }

// Spec is what a caller asks for. It never changes after [Foreman.Submit].
// The zero value of every field but Model is a default.
type Spec struct {
	// Model is the name that the backend routes by, at most 256 bytes of
	// printable text. It is required.
	Model string
	// Input is any JSON value, passed to the backend as it is, at most
	// [Options.MaxInput] bytes. If Input is empty, null is used.
	Input json.RawMessage

	// StateWebhookURL gets a signed POST at each change of state. It must be an
	// http or https URL of at most 2,048 bytes whose address the webhook guard
	// allows. If StateWebhookURL is empty, nobody is told.
	StateWebhookURL string
	// WebhookEvents are the states whose events are sent. If WebhookEvents is
	// empty, all are.
	WebhookEvents []State

	// Priority is from -100 to 100; a higher one runs first. The default is 0.
	Priority int
	// RunAt is the earliest start. If RunAt is zero, the job can start at once.
	RunAt time.Time
	// QueueTimeout fails the job when it has been ready to start for so long
	// and has not. It is counted anew when the job is queued again. If
	// QueueTimeout is 0, the job waits as long as it takes.
	QueueTimeout time.Duration
	// RunTimeout ends an attempt that takes longer. If RunTimeout is 0,
	// [Options.RunTimeout] is used.
	RunTimeout time.Duration
	// MaxAttempts is how often the job is started at most, from 1 to 100. If
	// MaxAttempts is 0, [Options.MaxAttempts] is used.
	MaxAttempts int
	// Labels are for finding jobs again: at most 16, with names of 1 to 63
	// bytes, without =, and values of at most 255.
	Labels map[string]string

	// Owner is whose job it is, at most 128 bytes. The handler sets it from the
	// [Caller] of the request.
	Owner string
	// IdempotencyKey makes a repeated Submit return the first job: it belongs
	// to the owner until that job is removed. At most 255 bytes.
	IdempotencyKey string
	// BaseURL stands before every link that webhooks of this job hand out. If
	// BaseURL is empty, [Options.BaseURL] is used; the handler takes the base of
	// the request if that is empty too.
	BaseURL string

	// fingerprint stands for what was asked for under IdempotencyKey; the
	// handler hashes the request body. If it is nil, the spec is hashed.
	fingerprint []byte
	// inputChecked says that the handler has checked Input, as a part of the
	// body that it came in.
	inputChecked bool
}

// Job is what is known of a job at one moment.
//
//	queued -> working -> done | failed | canceled
//	queued -> canceled | failed (queue_timeout)
//	working -> queued (another attempt after a passing fault or a dead process)
//
// A terminal state is final, but for [Foreman.Retry].
type Job struct {
	ID   ulid.ULID
	Spec Spec
	// State is the present state.
	State State
	// Attempt numbers the attempts from 1; it is 0 before the first.
	Attempt int
	// Sequence is the number of the latest event of the job.
	Sequence uint64

	CreatedAt time.Time
	// StartedAt is when the latest attempt started.
	StartedAt time.Time
	// FinishedAt is when the job reached its terminal state.
	FinishedAt time.Time
	// ExpiresAt is when the finished job is removed; zero for never.
	ExpiresAt time.Time
	// CancelRequestedAt is when a running job was asked to stop.
	CancelRequestedAt time.Time

	// Queue says where a queued job stands; nil otherwise, and in lists.
	Queue *QueueStatus
	// Progress is what the backend last reported of the running attempt, if
	// this process runs it.
	Progress *Progress
	// Result is what the backend set, as JSON; nil in lists.
	Result json.RawMessage
	// Error is why the job failed, or the latest attempt of a queued job.
	Error *Error
	// Artifacts are the outputs of a finished job, and the partial one of any job
	// whose latest attempts did not end well, without their data.
	Artifacts []Artifact
	// Webhook counts the deliveries of the job; nil without a webhook, in lists, and
	// in what Submit returns.
	Webhook *WebhookStatus

	version          uint64
	artifactsExpire  time.Time
	artifactsRemoved bool
}

// QueueStatus says where a queued job stands.
type QueueStatus struct {
	// Position is 1 for the next job of its lane. It is 0 when the job is not
	// ready to start, when more than 1,000 are ahead, and in what Submit returns.
	Position int
	// ETA is about when the job will start, by how long the jobs of its lane and of
	// those before it have been taking, and the loading of models; zero if nobody can
	// tell.
	ETA time.Time
	// Margin is how far ETA may be off either way, by how much such times have varied.
	Margin time.Duration
	// WaitingFor is "slot", "model_load", "run_at", "backoff", "paused" or "backend", as far
	// as this process knows.
	WaitingFor string
	// At is when a job that waits for run_at or backoff becomes ready.
	At time.Time
}

// Progress is how far an attempt has come.
type Progress struct {
	Fraction float64   `json:"fraction"`          // 0 to 1
	Message  string    `json:"message,omitempty"` // at most 1,024 bytes
	At       time.Time `json:"at"`
}

// Artifact is a named output of a job.
type Artifact struct {
	artifact.Info
	// Removed says that the data is gone after its time; the entry stays.
	Removed bool

	run uint64
}

// WebhookStatus counts the deliveries of a job by what became of them; those that the
// receiver has stopped have failed.
type WebhookStatus struct {
	Pending    int `json:"pending"`
	Delivered  int `json:"delivered"`
	Failed     int `json:"failed"`
	Superseded int `json:"superseded,omitempty"`
}

// ErrorType says what kind of error ended an attempt.
type ErrorType string

// The types of errors.
const (
	BackendError       ErrorType = "backend_error"       // the backend failed; it may work another time
	BackendRejected    ErrorType = "backend_rejected"    // the backend says that the request is wrong; never tried again
	BackendUnavailable ErrorType = "backend_unavailable" // the backend could not be reached
	QueueTimeout       ErrorType = "queue_timeout"       // the job was not started in time
	RunTimeout         ErrorType = "run_timeout"         // the attempt took too long
	Interrupted        ErrorType = "interrupted"         // the process that ran the attempt died
	Incomplete         ErrorType = "incomplete"          // the backend's answer ended without its end mark
	CanceledError      ErrorType = "canceled"            // somebody asked for it
	Panicked           ErrorType = "panic"               // the backend panicked
)

// Error is why an attempt or a job did not end well.
type Error struct {
	Type    ErrorType `json:"type"`
	Message string    `json:"message"` // at most 4,096 bytes
	// Attempt is the attempt that it ended; 0 if none had started.
	Attempt int `json:"attempt"`
	// Retryable says that another attempt may end better.
	Retryable bool `json:"retryable"`
}

// Error returns the message.
func (e *Error) Error() string { return string(e.Type) + ": " + e.Message }
