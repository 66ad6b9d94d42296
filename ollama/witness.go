package ollama

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/foreman-go/foreman"
)

// witness sends requests, and sees whether the server generates: it is suspect once an
// attempt has run into its run_timeout without a byte of an answer, and no more once
// anything is generated, for whomever.
type witness struct {
	b    *Backend
	next http.RoundTripper
}

// RoundTrip sends a request.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if r.Method != http.MethodPost || routeOf(strings.TrimPrefix(r.URL.Path, w.b.url.Path)).kind != generation {
		return resp, err
	}
	switch {
	case err == nil && resp.StatusCode == http.StatusOK:
		// The headers come with the first token, and not before.
		w.b.answered()
		resp.Body = &heard{resp.Body, w.b}
	case err != nil && errors.Is(context.Cause(r.Context()), foreman.Code(foreman.RunTimeout)):
		w.b.suspect(modelIn(r))
	}
	return resp, err
}

// modelIn is the model that a request has asked for, if its body can still be read.
func modelIn(r *http.Request) (model string) {
	if r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	b, _ := io.ReadAll(body) // what is missing has no model
	members(b, func(name string, value []byte) bool {
		if strings.EqualFold(name, "model") && value[0] == '"' {
			model, _ = unquoted(value)
		}
		return true
	})
	return modelName(model)
}

// heard is an answer of which every byte shows that the server generates, whatever has
// come of others meanwhile.
type heard struct {
	io.ReadCloser
	b *Backend
}

// Read reads.
func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if n > 0 {
		h.b.answered()
	}
	return n, err
}
