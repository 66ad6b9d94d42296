package ollama

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
)

// OwnAgent is the User-Agent of requests of Foreman's own.
const OwnAgent = ownAgent

// ParseURL is for the tests of the forms of OLLAMA_HOST.
func ParseURL(s string) (string, error) {
	u, err := parseURL(s)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// NewCall is for the tests of what an input becomes.
func NewCall(input []byte, model string) (path string, body []byte, err error) {
	c, err := newCall(input, model, OllamaAPI)
	if err != nil {
		return "", nil, err
	}
	return c.path, c.body, nil
}

// ReadStream is for the tests of what the lines of a stream become.
func ReadStream(r io.Reader, most int64, tell func(string)) (json.RawMessage, error) {
	return readStream(r, most, tell)
}

// LaneAgain is for the tests of the names of lanes: one that is read, and written again.
func LaneAgain(name string) string { return parseLane(name).String() }

// ReadEvents is for the tests of what the events of a stream become.
func ReadEvents(r io.Reader, most int64, path string, tell func(string)) (json.RawMessage, error) {
	return readEvents(r, most, path, tell)
}

// RoundTripper is what sends the calls of callers.
func (b *Backend) RoundTripper() http.RoundTripper { return b.callers }

// URL is where the server listens.
func (b *Backend) URL() *url.URL { return b.url }
