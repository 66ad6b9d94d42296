package ollama

import (
	"io"
	"net/http"
	"time"
)

// impatientWriter gives each write only so long, in place of what the server gives
// the whole answer. Otherwise a caller that takes nothing, and does not hang up
// either, would keep its slot for ever, and the end of [foreman.Foreman.Run] would
// wait for it. The server lifts the limit before the next request.
type impatientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (s *surface) impatient(w http.ResponseWriter) *impatientWriter {
	return &impatientWriter{w, http.NewResponseController(w), s.o.WriteTimeout}
}

// Write writes, and fails if that takes too long.
func (w *impatientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) // a recorder knows no deadlines
	return w.ResponseWriter.Write(p)
}

// Unwrap lets [http.ResponseController] find what w is made of.
func (w *impatientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// impatientBody gives each read of a body only so long, in place of what the server
// gives the whole request: a blob may take an hour to come.
type impatientBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
}

// Read reads, and fails if nothing comes for too long.
func (b *impatientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.timeout))
	return b.ReadCloser.Read(p)
}
