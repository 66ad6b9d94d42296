package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// room is the memory that the bodies of calls may take together.
type room struct {
	most int64
	used atomic.Int64
}

func (r *room) take(n int64) bool {
	if r.used.Add(n) <= r.most {
		return true
	}
	r.used.Add(-n)
	return false
}

func (r *room) give(n int64) { r.used.Add(-n) }

// bodyError is why a body is not taken.
type bodyError struct {
	status int
	text   string
}

func (e *bodyError) Error() string { return e.text }

// readBody reads the body of a call into memory. Room is taken as the bytes come, so
// that nobody takes any with what is only announced; release gives it back.
func (s *surface) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, nil, &bodyError{http.StatusUnsupportedMediaType, "the request body must not be compressed: its model has to be read"}
	}
	most := s.o.MaxBody
	tooLarge := &bodyError{http.StatusRequestEntityTooLarge, fmt.Sprintf("request body too large: at most %d bytes are accepted", most)}
	if r.ContentLength > most {
		w.Header().Set("Connection", "close") // rather than read it all
		return nil, nil, tooLarge
	}
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	taken := int64(0)
	giveBack := func() { s.bodies.give(taken) }
	defer func() {
		if err != nil {
			giveBack()
		}
	}()
	const first, trusted = 4 << 10, 1 << 20
	in := http.MaxBytesReader(w, r.Body, s.o.MaxBody)
	for size := min(max(r.ContentLength+1, first), trusted); ; size = 2 * int64(cap(body)) {
		size = min(size, most+1) // one more, to see the end
		if !s.bodies.take(size - taken) {
			w.Header().Set("Connection", "close")
			return nil, nil, &bodyError{http.StatusServiceUnavailable, fmt.Sprintf("%s: the requests that wait take up %d bytes already", busy, s.bodies.most)}
		}
		taken = size
		larger := make([]byte, len(body), size)
		copy(larger, body)
		body = larger
		for len(body) < cap(body) {
			n, err := in.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
			if errors.Is(err, io.EOF) {
				return body, giveBack, nil
			}
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return nil, nil, tooLarge
			}
			if err != nil {
				return nil, nil, &bodyError{http.StatusBadRequest, "the request body cannot be read: " + err.Error()}
			}
		}
	}
}

// withBody is a request with a body that has been read already.
func withBody(ctx context.Context, r *http.Request, body []byte) *http.Request {
	r = r.WithContext(ctx)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength, r.TransferEncoding = int64(len(body)), nil
	return r
}

// modelOf reads the model of a body as Ollama does; it is empty if Ollama would find
// none.
func modelOf(body []byte) string {
	var m struct{ Model string }
	err := json.Unmarshal(body, &m)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok && e.Offset > 0 && e.Offset <= int64(len(body)) {
		// Ollama reads the first value of a body, and not what is behind it.
		m.Model = ""
		err = json.Unmarshal(body[:e.Offset-1], &m)
	}
	if err != nil {
		return ""
	}
	return m.Model
}
