package foreman

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// effects are what a change of state causes: its event and, if somebody asked to
// be told, the delivery of it.
type effects struct {
	events     []store.Event
	deliveries []store.Delivery
}

// become makes the entry that of its next life and returns the change that does
// the same to its record. inlined are the artifacts for the webhook of a terminal
// state.
func (e *entry) become(l life, now time.Time, inlined []webhook.ArtifactMeta) (store.Change, error) {
	fx, err := e.advance(l, now, inlined)
	return store.Change{Head: e.head, Events: fx.events, Deliveries: fx.deliveries}, err
}

func (e *entry) advance(l life, now time.Time, inlined []webhook.ArtifactMeta) (fx effects, err error) {
	previous := e.State
	if previous == l.state {
		return fx, e.setLife(l)
	}
	e.Sequence++
	if err := e.setLife(l); err != nil {
		return fx, err
	}
	ev := webhook.Event{
		JobID: e.ID.String(), State: string(l.state), PreviousState: string(previous), Timestamp: now,
		Model: e.Spec.Model, Attempt: l.attempt, Sequence: e.Sequence,
	}
	if l.state.Terminal() && l.err != nil {
		if ev.Error, err = json.Marshal(l.err); err != nil {
			return fx, err
		}
	}
	data, err := ev.MarshalJSON()
	if err != nil {
		return fx, err
	}
	fx.events = []store.Event{{Seq: e.Sequence, Data: data}}
	if !e.Spec.tells(l.state) {
		return fx, nil
	}
	if l.state.Terminal() {
		ev.Result = e.Result
		ev.Artifacts = webhook.FormatArtifacts(ev.JobID, inlined)
		if data, err = ev.MarshalJSON(); err != nil {
			return fx, err
		}
	}
	fx.deliveries = []store.Delivery{{
		Seq: e.Sequence, Endpoint: webhook.Origin(e.Spec.StateWebhookURL), URL: e.Spec.StateWebhookURL,
		Due: now, Body: data,
	}}
	return fx, nil
}

// tells reports whether the webhook is to hear of a state.
func (s *Spec) tells(state State) bool {
	return s.StateWebhookURL != "" && (len(s.WebhookEvents) == 0 || slices.Contains(s.WebhookEvents, state))
}

// marshal is json.Marshal without its escapes for HTML, which would make text
// longer for nobody's good.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
