package echo

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The bounds of the options.
const (
	mostDelay    = time.Minute
	mostFailures = 100
	mostArtifact = 1 << 30
)

// options are those of a request that the echo model knows. Others are ignored, as
// the options of a model server are that a model has no use for.
type options struct {
	delay         time.Duration // before each token
	failAttempts  int           // of a job, before the first that does not fail
	artifactBytes int64         // of the artifact that a job leaves; -1 for none
}

// parseOptions reads the options of a request for /api/chat or /api/generate.
func parseOptions(body []byte) (options, error) {
	o := options{artifactBytes: -1}
	var request struct {
		Options json.RawMessage `json:"options"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return o, errors.New("the input must be an object as /api/chat and /api/generate take it")
	}
	if !given(request.Options) {
		return o, nil
	}
	var raw struct {
		Delay         json.RawMessage `json:"delay"`
		FailAttempts  json.RawMessage `json:"fail_attempts"`
		ArtifactBytes json.RawMessage `json:"artifact_bytes"`
	}
	if err := json.Unmarshal(request.Options, &raw); err != nil {
		return o, errors.New("options must be an object")
	}
	if given(raw.Delay) {
		var text string
		err := json.Unmarshal(raw.Delay, &text)
		if err == nil {
			o.delay, err = time.ParseDuration(text)
		}
		if err != nil || o.delay < 0 || o.delay > mostDelay {
			return o, fmt.Errorf(`options.delay must be a duration such as "50ms", from 0s to %s`, mostDelay)
		}
	}
	if given(raw.FailAttempts) {
		err := json.Unmarshal(raw.FailAttempts, &o.failAttempts)
		if err != nil || o.failAttempts < 0 || o.failAttempts > mostFailures {
			return o, fmt.Errorf("options.fail_attempts must be a whole number from 0 to %d", mostFailures)
		}
	}
	if given(raw.ArtifactBytes) {
		err := json.Unmarshal(raw.ArtifactBytes, &o.artifactBytes)
		if err != nil || o.artifactBytes < 0 || o.artifactBytes > mostArtifact {
			return o, fmt.Errorf("options.artifact_bytes must be a whole number from 0 to %d", mostArtifact)
		}
	}
	return o, nil
}

func given(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }
