package echo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

// Backend is the echo model: for jobs what a server does over a [Transport], and what
// the options fail_attempts and artifact_bytes ask for; for callers the server.
type Backend struct{ server *ollama.Backend }

// New makes the echo model.
func New(log *slog.Logger) (Backend, error) {
	server, err := ollama.New(&ollama.Options{Transport: Transport{}, Logger: log})
	return Backend{server}, err
}

var (
	_ ollama.Upstream = Backend{}
	_ foreman.Checker = Backend{}
)

// Is reports whether a name asks for the echo model.
func Is(model string) bool { return strings.TrimSuffix(model, ":latest") == Model }

// Server is what callers are passed on to.
func (b Backend) Server() *ollama.Backend { return b.server }

// Check passes: the echo model is there when no server is, and the program is ready for it.
func (b Backend) Check(context.Context) error { return nil }

// Run runs one attempt. It returns [foreman.Permanent] for options that cannot be.
func (b Backend) Run(ctx context.Context, t *foreman.Task) error {
	o, err := parseOptions(t.Spec.Input)
	if err != nil {
		return foreman.Permanent(fmt.Errorf("%s: %w", Model, err))
	}
	if t.Attempt <= o.failAttempts {
		return fmt.Errorf("%s: attempt %d fails, as options.fail_attempts asks of the first %d", Model, t.Attempt, o.failAttempts)
	}
	if err := b.server.Run(ctx, t); err != nil {
		return err
	}
	if o.artifactBytes < 0 {
		return nil
	}
	_, err = t.Artifact("blob", "application/octet-stream", io.LimitReader(&pattern{}, o.artifactBytes))
	return err
}

// pattern reads as all bytes from 0 to 255, again and again.
type pattern struct {
	next byte
}

func (r *pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.next
		r.next++
	}
	return len(p), nil
}
