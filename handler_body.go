package foreman

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/foreman-go/foreman/internal/strictjson"
)

// parseSpec reads the body of POST /jobs, whose bytes become part of the spec.
//
// The text is checked once, by [strictjson.Check]; what follows only finds its way in
// it. Names are compared byte by byte, which encoding/json does not do.
func parseSpec(body []byte) (s Spec, err error) {
	if err := checkObject(body, `{"model":"m","input":"..."}`); err != nil {
		return s, err
	}
	s.inputChecked = true
	var rest remainder
	var unknown []byte
	var hasInput, shorthand bool
	for m := range members(body) {
		own, err := s.set(m)
		switch {
		case err != nil:
			return s, err
		case own:
			rest.leave(m)
			continue
		}
		rest.keep(m)
		switch string(m.name) {
		case "model":
		case "input":
			s.Input, hasInput = m.value, true
		case "messages", "prompt":
			shorthand = true
			fallthrough
		default:
			if unknown == nil {
				unknown = m.quoted
			}
		}
	}
	if shorthand && !hasInput {
		s.Input = rest.of(body)
		return s, nil
	}
	if unknown != nil {
		return s, explain(ErrInvalid, "%s is not a member of a job: these are model, input, state_webhook_url, webhook_events, priority, "+
			"run_at, queue_timeout, run_timeout, max_attempts and labels; a body for a model server has messages or prompt, and no input",
			clip(string(unknown), 64))
	}
	return s, nil
}

// checkObject accepts the text of a JSON object.
func checkObject(body []byte, example string) error {
	if err := strictjson.Check(body, maxInputLevels); err != nil {
		return explain(ErrMalformed, "the body is not acceptable JSON: %v", err)
	}
	if bytes.TrimLeft(body, jsonSpace)[0] != '{' {
		return explain(ErrMalformed, "the body must be a JSON object, such as %s", example)
	}
	return nil
}

// set gives the spec a member of the body. own says that the member is about the job,
// and so no part of an input that is the body itself. Null is as good as absent.
func (s *Spec) set(m member) (own bool, err error) {
	null := string(m.value) == "null"
	switch name := string(m.name); name {
	case "model":
		if !null {
			err = setText(name, m.value, &s.Model)
		}
		return false, err
	case "state_webhook_url", "webhook_events", "priority", "run_at", "queue_timeout", "run_timeout", "max_attempts", "labels":
		if !null {
			err = s.setOwn(name, m.value)
		}
		return true, err
	}
	return false, nil
}

func (s *Spec) setOwn(name string, value []byte) error {
	switch name {
	case "state_webhook_url":
		return setText(name, value, &s.StateWebhookURL)
	case "webhook_events":
		return s.setWebhookEvents(value)
	case "priority":
		return setWhole(name, value, -maxPriority, maxPriority, &s.Priority)
	case "run_at":
		return setTime(name, value, &s.RunAt)
	case "queue_timeout":
		return setDuration(name, value, &s.QueueTimeout)
	case "run_timeout":
		return setDuration(name, value, &s.RunTimeout)
	case "max_attempts":
		return setWhole(name, value, 1, maxAttempts, &s.MaxAttempts)
	default:
		return s.setLabels(value)
	}
}

func (s *Spec) setWebhookEvents(value []byte) error {
	if value[0] != '[' {
		return invalid("webhook_events", "must be an array of states")
	}
	for v := range elements(value) {
		word, ok := text(v)
		if !ok || !State(word).valid() {
			return invalid("webhook_events", "must be an array of the states queued, working, done, failed, canceled")
		}
		if len(s.WebhookEvents) == maxEvents {
			return invalid("webhook_events", "must have at most %d states", maxEvents)
		}
		s.WebhookEvents = append(s.WebhookEvents, State(word))
	}
	return nil
}

func (s *Spec) setLabels(value []byte) error {
	if value[0] != '{' {
		return invalid("labels", "must be an object with values that are strings")
	}
	for m := range members(value) {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		if len(s.Labels) == maxLabels {
			return invalid("labels", "must be at most %d", maxLabels)
		}
		v, ok := text(m.value)
		if !ok {
			return invalid("labels", "must be an object with values that are strings, and the one of %s is not", clip(string(m.quoted), 64))
		}
		s.Labels[string(m.name)] = v
	}
	return nil
}

func setText(name string, value []byte, to *string) error {
	t, ok := text(value)
	if !ok {
		return invalid(name, "must be a string")
	}
	*to = t
	return nil
}

func setWhole(name string, value []byte, least, most int, to *int) error {
	n, err := strconv.Atoi(string(value))
	if err != nil || n < least || n > most {
		return invalid(name, "must be a whole number from %d to %d", least, most)
	}
	*to = n
	return nil
}

func setTime(name string, value []byte, to *time.Time) error {
	t, ok := text(value)
	if !ok || !parseTime(t, to) {
		return invalid(name, `must be a time as in RFC 3339, such as "2030-01-31T08:00:00Z"`)
	}
	return nil
}

// parseTime refuses what [time.Parse] takes though RFC 3339 does not know it: an hour
// of one digit, and a comma before a fraction.
func parseTime(s string, to *time.Time) bool {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return false
	}
	*to = t
	return true
}

func setDuration(name string, value []byte, to *time.Duration) error {
	t, _ := text(value)
	d, err := time.ParseDuration(t)
	if err != nil || d <= 0 {
		return invalid(name, `must be a duration such as "90s", above 0 and below ten years`)
	}
	*to = d
	return nil
}
