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
// attempt has run into its run_timeout without a byte of an answer, or nothing has come
// for a long time, and no more once anything is generated, for whomever.
type witness struct {
	b    *Backend
	next http.RoundTripper
}

// RoundTrip sends a request.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.Path, w.b.url.Path)
	if r.Method != http.MethodPost || routeOf(path).kind != generation {
		return w.next.RoundTrip(r)
	}
	watch := w.b.watchSilence(r, path)
	resp, err := w.next.RoundTrip(r)
	switch {
	case err == nil && resp.StatusCode == http.StatusOK:
		// The headers come with the first token, and not before.
		w.b.answered()
		watch.heard()
		resp.Body = &heard{resp.Body, w.b, watch}
		return resp, nil
	case err != nil && errors.Is(context.Cause(r.Context()), foreman.Code(foreman.RunTimeout)):
		w.b.suspect(modelIn(r))
	}
	watch.end()
	return resp, err
}

// modelIn is the model that a request has asked for, if its body can still be read.
func modelIn(r *http.Request) (model string) {
	members(bodyOf(r), func(name string, value []byte) bool {
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
	b     *Backend
	watch *silence
}

// Read reads.
func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if n > 0 {
		h.b.answered()
		h.watch.heard()
	}
	if err != nil {
		h.watch.end()
	}
	return n, err
}

// Close ends the watch too.
func (h *heard) Close() error {
	h.watch.end()
	return h.ReadCloser.Close()
}
