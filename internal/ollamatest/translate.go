package ollamatest

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"net/http"
)

// form is how answers of the native API are put into those of another.
type form interface {
	// answer turns one JSON value, all of an answer or a line of a stream, into
	// what is sent in its place.
	answer(native []byte) []byte
	// failure turns an error into what is sent for it.
	failure(status int, message string) any
}

// translated is the answer to a request of another API, as a native handler writes
// it. Ollama has its other APIs do just this, which is why a stream on them can end
// without a word, where the native one has a line of its own.
type translated struct {
	http.ResponseWriter
	form        form
	contentType string // of an answer that is no error
	status      int
}

// WriteHeader waits for what is to be written: the header depends on that.
func (t *translated) WriteHeader(status int) { t.status = status }

// Write gets one JSON value at a time.
func (t *translated) Write(native []byte) (int, error) {
	if t.status != http.StatusOK && t.status != 0 {
		var e struct{ Error string }
		if json.Unmarshal(native, &e) != nil {
			e.Error = string(native)
		}
		t.Header().Set("Content-Type", "application/json")
		t.ResponseWriter.WriteHeader(t.status)
		send(t.ResponseWriter, line(t.form.failure(t.status, e.Error)))
		return len(native), nil
	}
	if b := t.form.answer(native); len(b) > 0 {
		t.Header().Set("Content-Type", t.contentType)
		send(t.ResponseWriter, b)
	}
	return len(native), nil
}

// Flush sends what has been written.
func (t *translated) Flush() { t.ResponseWriter.(http.Flusher).Flush() }

// serveAs lets a native handler answer a request that has been put into its form.
func serveAs(w http.ResponseWriter, r *http.Request, req Request, native any, f form, streams bool, serve func(http.ResponseWriter, *http.Request, Request)) {
	t := &translated{ResponseWriter: w, form: f, contentType: "application/json"}
	if streams {
		t.contentType = "text/event-stream"
	}
	r.Body = io.NopCloser(bytes.NewReader(line(native)))
	serve(t, r, req)
}

// line is a value as Go's encoder writes it to a stream.
func line(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// data is an event of a stream on the OpenAI surface.
func data(v any) []byte {
	return append(append([]byte("data: "), line(v)...), '\n')
}

// event is an event of a stream that names its events.
func event(name string, v any) []byte {
	return append([]byte("event: "+name+"\n"), data(v)...)
}

// identify is a number for an identifier. It follows from the request, so that the
// same one is answered with the same one.
func identify(req Request) uint64 {
	h := fnv.New64a()
	h.Write(req.Body)
	return h.Sum64()
}
