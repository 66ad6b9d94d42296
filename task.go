package foreman

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/artifact"
	"github.com/foreman-go/foreman/internal/strictjson"
)

// Task is one attempt at a job, as its backend sees it. Its methods are safe for
// concurrent use until [Backend].Run returns.
type Task struct {
	ID      ulid.ULID // the job
	Attempt int       // from 1
	Spec    Spec      // what was asked for; not to be changed

	f   *Foreman
	ctx context.Context // of the attempt
	run uint64          // tells its artifacts from those of other attempts

	output  sync.Mutex // held while output is written, so that both have it in one order
	live    *live      // for whoever watches, who keep it and nothing else of the task
	spool   spool      // for the artifact partial
	partial *keptArtifact

	writing   sync.Mutex // held while an artifact is written, before mu
	mu        sync.Mutex
	result    json.RawMessage
	artifacts []artifact.Info
}

// Progress reports how far the attempt has come, from 0 to 1, with a few words of
// at most 1,024 bytes. It is shown, not stored: the last report stands.
func (t *Task) Progress(fraction float64, message string) {
	if math.IsNaN(fraction) {
		fraction = 0
	}
	p := &Progress{
		Fraction: min(max(fraction, 0), 1),
		Message:  clip(strings.ToValidUTF8(message, "\uFFFD"), 1024),
		At:       t.f.now(),
	}
	if t.live.report(p) {
		t.f.shows(t.ID, t.live)
	}
}

// Write streams output to whoever watches the job, as it is generated. It never blocks
// and never fails, however slow they are: see [Foreman.WatchFrom] for what they are told.
// What is written after Run has returned counts for nothing.
//
// If the attempt does not end well, what has been written is kept as the artifact
// partial, up to 16 MiB and [Options.MaxArtifact]; if its process is killed, all but the
// last second or 64 KiB of it. An artifact of that name that the attempt itself has
// written is kept in its place. It is there before the job has ended too, until a later
// attempt leaves another or ends well. This takes an [Options.Artifacts] that is an
// [artifact.Spooler], as the default is.
func (t *Task) Write(p []byte) (int, error) {
	t.output.Lock()
	taken, first := t.live.write(p)
	if taken {
		t.spool.write(p)
	}
	t.output.Unlock()
	if first {
		t.f.shows(t.ID, t.live)
	}
	return len(p), nil
}

// SetResult sets the result of the job: v as JSON, or as it is if v is a
// [json.RawMessage]. The last call counts. It returns [ErrTooLarge] beyond
// [Options.MaxResult]; write an artifact instead.
func (t *Task) SetResult(v any) error {
	b, err := marshal(v)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if len(b) > t.f.o.MaxResult {
		return fmt.Errorf("%w: a result of %d bytes, and at most %d are kept: write an artifact", ErrTooLarge, len(b), t.f.o.MaxResult)
	}
	if err := strictjson.Check(b, maxInputLevels); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	t.mu.Lock()
	t.result = b
	t.mu.Unlock()
	return nil
}

// Artifact stores a named output of the job from r until it ends; it is durable
// when Artifact returns. A name that was written before in this attempt is
// replaced. One artifact of an attempt is written at a time: a second call waits for the
// first. If contentType is empty, application/octet-stream is used.
//
// Errors: [ErrInvalid] for a name or content type that cannot be, or for one more
// artifact than [Options.MaxArtifacts]; [ErrTooLarge] beyond [Options.MaxArtifact];
// those of r, of the disk, [ErrUnavailable] of an artifact store that cannot be reached,
// and that of the attempt's context.
func (t *Task) Artifact(name, contentType string, r io.Reader) (artifact.Info, error) {
	return t.ArtifactContext(t.ctx, name, contentType, r)
}

// ArtifactContext is [Task.Artifact] with a context in place of the attempt's, for what
// is to be kept of an attempt that was stopped, such as a log of how far it came: of a
// job that ends canceled or failed, that is kept as well. Run must return soon all the
// same, and r should hold no more than can be written at once.
func (t *Task) ArtifactContext(ctx context.Context, name, contentType string, r io.Reader) (artifact.Info, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	full := len(t.artifacts) >= t.f.o.MaxArtifacts && t.find(name) < 0
	t.mu.Unlock()
	if full {
		return artifact.Info{}, fmt.Errorf("artifact %s: %w: a job has at most %d artifacts", name, ErrInvalid, t.f.o.MaxArtifacts)
	}
	key := artifact.Key{Job: t.ID.String(), Run: t.run, Name: name}
	info, err := t.f.o.Artifacts.Put(ctx, key, contentType, r, t.f.o.MaxArtifact)
	if err != nil {
		return info, fmt.Errorf("artifact %s: %w", name, fromArtifact(err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.find(name); i >= 0 {
		t.artifacts[i] = info
	} else {
		t.artifacts = append(t.artifacts, info)
	}
	return info, nil
}

// find is the index of an artifact, or -1. mu is held.
func (t *Task) find(name string) int {
	return slices.IndexFunc(t.artifacts, func(i artifact.Info) bool { return i.Name == name })
}

// outputs are what the attempt leaves.
func (t *Task) outputs() (json.RawMessage, []Artifact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Artifact
	for _, i := range t.artifacts {
		list = append(list, Artifact{Info: i, run: t.run})
	}
	return t.result, list
}

// deadlineOf is the context of one attempt.
func deadlineOf(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errRunTimeoutPassed)
}
