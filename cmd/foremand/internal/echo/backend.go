package echo

import (
	"context"
	"fmt"
	"io"

	"github.com/foreman-go/foreman"
)

// Backend runs the jobs of the echo model: what another backend does over a
// [Transport], and what the options fail_attempts and artifact_bytes ask for.
type Backend struct {
	// Next asks the model, by way of a [Transport]. It is required.
	Next foreman.Backend
}

// Run runs one attempt. It returns [foreman.Permanent] for options that cannot be.
func (b Backend) Run(ctx context.Context, t *foreman.Task) error {
	o, err := parseOptions(t.Spec.Input)
	if err != nil {
		return foreman.Permanent(fmt.Errorf("%s: %w", Model, err))
	}
	if t.Attempt <= o.failAttempts {
		return fmt.Errorf("%s: attempt %d fails, as options.fail_attempts asks of the first %d", Model, t.Attempt, o.failAttempts)
	}
	if err := b.Next.Run(ctx, t); err != nil {
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
