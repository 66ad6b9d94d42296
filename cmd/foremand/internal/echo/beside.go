package echo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Is reports whether a name asks for the echo model.
func Is(model string) bool { return strings.TrimSuffix(model, ":latest") == Model }

// Beside puts the echo model beside the models of a server: requests for it are
// answered here, and all others go to the server. While the server cannot be reached,
// the lists that it would give are those of the echo model.
func Beside(server http.RoundTripper) http.RoundTripper { return beside{server} }

type beside struct{ server http.RoundTripper }

func (b beside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		return b.byModel(r)
	}
	listing := strings.HasSuffix(r.URL.Path, tagsPath)
	if !listing && !strings.HasSuffix(r.URL.Path, versionPath) && !strings.HasSuffix(r.URL.Path, rootPath) {
		return b.server.RoundTrip(r)
	}
	resp, err := b.server.RoundTrip(r)
	if err != nil {
		return Transport{}.RoundTrip(r)
	}
	if listing && r.Method == http.MethodGet && resp.StatusCode == http.StatusOK {
		return withItself(resp)
	}
	return resp, nil
}

// byModel reads a request to find out which model it is for.
func (b beside) byModel(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, mostBody+1))
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("echo: request body: %w", err)
	}
	if len(body) > mostBody {
		return nil, fmt.Errorf("echo: the request body has more than %d bytes", mostBody)
	}
	var asked struct{ Model string }
	_ = json.Unmarshal(body, &asked) // what has no model is the server's to refuse
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	if Is(asked.Model) {
		return Transport{}.RoundTrip(r)
	}
	return b.server.RoundTrip(r)
}

// withItself adds the echo model to the models that a server lists.
func withItself(resp *http.Response) (*http.Response, error) {
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody))
	if err != nil {
		return nil, err
	}
	var tags struct {
		Models []json.RawMessage `json:"models"`
	}
	if json.Unmarshal(body, &tags) == nil {
		own, err := json.Marshal(itself())
		if err != nil {
			return nil, err
		}
		tags.Models = append(tags.Models, own)
		if body, err = json.Marshal(tags); err != nil {
			return nil, err
		}
	}
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.Body, resp.ContentLength, resp.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	return resp, nil
}
