package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/foreman-go/foreman"
)

const (
	userAgent = "foreman"
	// completion is the name of the artifact that an answer becomes.
	completion = "completion"
)

// Run sends the input of a job to the server. An input with messages is for /api/chat,
// one with input and no prompt for /api/embed, any other for /api/generate; to a server
// of [OpenAIAPI] they are for /v1/chat/completions, /v1/embeddings and /v1/completions.
// An input for another call is an envelope, {"path": "/v1/responses", "body": {...}}, of
// exactly these members, with the path of any call that keeps a model busy. A body is
// sent byte for byte, but that the model of the job is put into it if it names none; it
// is streamed if the server streams it: on /api unless it says "stream": false, on /v1
// if it says "stream": true. Bodies for /v1/responses and /v1/messages are sent without
// stream, since their events are not put together.
//
// Text is written to the task as it comes, thinking included. The whole answer, in
// the form that it has without streaming, becomes the artifact completion, of type
// application/json, and the result; if it is too large for that, the result is
// {"model": the model, "artifact": "completion"}.
//
// What the server refuses with a 4xx status, but for 408, 425 and 429, and an input
// that cannot be sent, is permanent; a 5xx status and an error amid a stream are passing. An answer without
// its end is [foreman.Incomplete]. A server that cannot be connected to is
// [foreman.Unavailable], and so is one of several in [Pools] that has not the model while
// another may. When ctx ends Run returns its cause, wrapped.
func (b *Backend) Run(ctx context.Context, t *foreman.Task) error {
	err := b.run(ctx, t)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("ollama: %w", context.Cause(ctx))
	}
	return err
}

func (b *Backend) run(ctx context.Context, t *foreman.Task) error {
	if err := b.misplaced(ctx, t.Spec.Model); err != nil {
		return err
	}
	c, err := newCall(t.Spec.Input, t.Spec.Model, b.api)
	if err != nil {
		return foreman.Permanent(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url.JoinPath(c.path).String(), bytes.NewReader(c.body))
	if err != nil {
		return foreman.Permanent(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", userAgent)
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		return b.sendingFailed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		_ = b.learn(ctx) // it may have had the model until now
		if err := b.misplaced(ctx, t.Spec.Model); err != nil {
			return err
		}
	}
	if resp.StatusCode != http.StatusOK {
		return refused(resp)
	}
	tell := func(text string) { _, _ = io.WriteString(t, text) } // a Task never fails to be written to
	var answer json.RawMessage
	switch kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind {
	case "application/x-ndjson":
		answer, err = readStream(resp.Body, b.maxAnswer, tell)
	case "text/event-stream":
		answer, err = readEvents(resp.Body, b.maxAnswer, c.path, tell)
	default:
		answer, err = readWhole(resp.Body, b.maxAnswer, c.path, tell)
	}
	if err != nil {
		return err
	}
	return keep(t, answer)
}

// keep makes an answer the output of a job.
func keep(t *foreman.Task, answer json.RawMessage) error {
	_, err := t.Artifact(completion, "application/json", bytes.NewReader(answer))
	if errors.Is(err, foreman.ErrTooLarge) {
		return tooLong("the answer cannot be kept: %w", err)
	}
	if err != nil {
		return fmt.Errorf("the answer cannot be kept: %w", err)
	}
	err = t.SetResult(answer)
	if errors.Is(err, foreman.ErrTooLarge) {
		err = t.SetResult(map[string]string{"model": t.Spec.Model, "artifact": completion})
	}
	if err != nil {
		return fmt.Errorf("the answer cannot be the result: %w", err)
	}
	return nil
}
