package ollama

import (
	"bytes"
	"context"
	"net/http"
)

// ownAgent tells the requests of Foreman's own from those of jobs in the log of a server
// or a proxy.
const ownAgent = userAgent + " (scheduler)"

// ask sends a request of Foreman's own, which nobody waits for and which says nothing
// about whether the server generates. The caller closes the body of the answer.
func (b *Backend) ask(ctx context.Context, method, path string, body object) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.url.JoinPath(path).String(), http.NoBody)
	if body != nil {
		r, err = http.NewRequestWithContext(ctx, method, b.url.JoinPath(path).String(), bytes.NewReader(body.bytes()))
	}
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", ownAgent)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return b.plain.RoundTrip(r)
}
