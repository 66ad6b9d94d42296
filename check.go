package foreman

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/foreman-go/foreman/internal/strictjson"
	"github.com/foreman-go/foreman/webhook"
)

// The bounds of a spec.
const (
	maxModel       = 256
	maxOwner       = 128
	maxKey         = 255
	maxLabels      = 16
	maxLabelName   = 63
	maxLabelValue  = 255
	maxPriority    = 100
	maxAttempts    = 100
	maxEvents      = 16
	maxDelay       = 10 * 365 * 24 * time.Hour
	maxInputLevels = 256
)

// check finds the first thing wrong with a spec, and says how to mend it.
func (f *Foreman) check(s *Spec) error {
	switch {
	case s.Model == "":
		return invalid("model", "is required: name the model that is to do the work")
	case s.Priority < -maxPriority || s.Priority > maxPriority:
		return invalid("priority", "must be from %d to %d", -maxPriority, maxPriority)
	case s.MaxAttempts < 1 || s.MaxAttempts > maxAttempts:
		return invalid("max_attempts", "must be from 1 to %d", maxAttempts)
	case s.QueueTimeout < 0 || s.QueueTimeout > maxDelay:
		return invalid("queue_timeout", `must be a duration such as "90s", above 0 and below ten years`)
	case s.RunTimeout > maxDelay:
		return invalid("run_timeout", `must be a duration such as "90s", above 0 and below ten years`)
	case !s.RunAt.IsZero() && s.RunAt.Sub(f.now()) > maxDelay:
		return invalid("run_at", "must be within ten years")
	case len(s.WebhookEvents) > maxEvents:
		return invalid("webhook_events", "must have at most %d states", maxEvents)
	case len(s.Labels) > maxLabels:
		return invalid("labels", "must be at most %d", maxLabels)
	case len(s.Input) > f.o.MaxInput:
		return fmt.Errorf("%w: input has %d bytes, and at most %d are accepted", ErrTooLarge, len(s.Input), f.o.MaxInput)
	}
	if err := plainText("model", s.Model, maxModel); err != nil {
		return err
	}
	if err := plainText("owner", s.Owner, maxOwner); err != nil {
		return err
	}
	if err := plainText("idempotency key", s.IdempotencyKey, maxKey); err != nil {
		return err
	}
	for k, v := range s.Labels {
		if k == "" || strings.Contains(k, "=") {
			return invalid("labels", "must have names that are not empty and have no = in them")
		}
		if err := plainText("labels", k, maxLabelName); err != nil {
			return err
		}
		if err := plainText("labels", v, maxLabelValue); err != nil {
			return err
		}
	}
	for _, e := range s.WebhookEvents {
		if !e.valid() {
			return invalid("webhook_events", "has %q: use queued, working, done, failed, canceled", e)
		}
	}
	if s.StateWebhookURL != "" {
		if err := f.guard.CheckURL(s.StateWebhookURL); err != nil {
			return fmt.Errorf("%w: state_webhook_url: %w%s", ErrWebhookRefused, err, allowedWith(err))
		}
	} else if len(s.WebhookEvents) > 0 {
		return invalid("webhook_events", "needs a state_webhook_url")
	}
	if s.inputChecked {
		return nil
	}
	if err := strictjson.Check(s.Input, maxInputLevels); err != nil {
		return invalid("input", "is not JSON that can be passed on: %v", err)
	}
	return nil
}

// guardFlags are the flags of foremand that set what the guard's errors name.
var guardFlags = map[string]string{
	"Prefixes": "-webhook-allow or -webhook-allow-hosts",
	"Ports":    "-webhook-ports",
}

// allowedWith says where those set the option that allows what the guard has refused
// who can.
func allowedWith(err error) string {
	if g, ok := errors.AsType[*webhook.GuardError](err); ok && g.Option != "" {
		return fmt.Sprintf(" (WebhookOptions.Guard.%s; in foremand, %s)", g.Option, guardFlags[g.Option])
	}
	return ""
}

func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrInvalid, field, fmt.Sprintf(format, args...))
}

// plainText accepts text that can be logged, listed and sent in a header.
func plainText(field, s string, most int) error {
	if len(s) > most {
		return invalid(field, "must have at most %d bytes, and has %d", most, len(s))
	}
	if !utf8.ValidString(s) {
		return invalid(field, "must be valid UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return invalid(field, "must not have control or invisible characters, and has %U", r)
		}
	}
	return nil
}
