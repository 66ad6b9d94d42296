package webhook

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// Event is one change of state of one job. Result, Error and Artifacts are for
// the last event of a job; each is a JSON value, and left out when empty.
type Event struct {
	JobID         string          `json:"job_id"`
	State         string          `json:"state"`
	PreviousState string          `json:"previous_state"` // "" for the first event of a job
	Timestamp     time.Time       `json:"timestamp"`      // of the change; written in UTC (RFC 3339)
	Model         string          `json:"model"`
	Attempt       int             `json:"attempt"`            // the run of the job, from 1; 0 before the first
	Sequence      uint64          `json:"sequence,omitempty"` // of the event within the job, from 1; 0 if not known
	Result        json.RawMessage `json:"result,omitempty"`
	Error         json.RawMessage `json:"error,omitempty"`
	Artifacts     json.RawMessage `json:"artifacts,omitempty"` // see FormatArtifacts
}

// MarshalJSON returns the bytes that are posted for e: one JSON object on one
// line, in valid UTF-8 (a byte that is not becomes U+FFFD), with <, > and & as
// they are. It fails if Result, Error or Artifacts is not JSON, or the year of
// Timestamp is not between 0 and 9999.
//
// [json.Marshal] calls it and then escapes <, > and &: the same JSON in other
// bytes.
func (e Event) MarshalJSON() ([]byte, error) {
	e.Timestamp = e.Timestamp.UTC()
	if body := e.appendPlain(make([]byte, 0, 256)); body != nil {
		return body, nil
	}
	type plain Event // without this method
	body, err := marshal(plain(e))
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(body) { // from a RawMessage, which is copied without a look
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	return body, nil
}

// appendPlain writes an event as marshal does, without reflection: every change
// of every job is written as an event. It returns nil for one that has more to it
// than that takes: an outcome, or text that needs escapes.
func (e *Event) appendPlain(b []byte) []byte {
	if e.Result != nil || e.Error != nil || e.Artifacts != nil ||
		!plainText(e.JobID) || !plainText(e.State) || !plainText(e.PreviousState) || !plainText(e.Model) {
		return nil
	}
	if y := e.Timestamp.Year(); y < 0 || y > 9999 {
		return nil
	}
	b = append(append(b, `{"job_id":"`...), e.JobID...)
	b = append(append(b, `","state":"`...), e.State...)
	b = append(append(b, `","previous_state":"`...), e.PreviousState...)
	b = e.Timestamp.AppendFormat(append(b, `","timestamp":"`...), time.RFC3339Nano)
	b = append(append(b, `","model":"`...), e.Model...)
	b = strconv.AppendInt(append(b, `","attempt":`...), int64(e.Attempt), 10)
	if e.Sequence != 0 {
		b = strconv.AppendUint(append(b, `,"sequence":`...), e.Sequence, 10)
	}
	return append(b, '}')
}

// plainText reports whether text stands for itself in a JSON string.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// marshal is json.Marshal without HTML escapes, which are noise in a body that
// is read by programs and make large texts larger.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
