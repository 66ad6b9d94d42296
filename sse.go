package foreman

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"
)

// keepAlive is how often a stream says something when there is nothing to tell, so
// that nobody on the way takes it for dead.
const keepAlive = 15 * time.Second

// stream serves the events of a job as Server-Sent Events (WHATWG HTML, section 9.2).
// Only changes of state have an id: they alone are there again after a reconnect.
func (h *handler) stream(w http.ResponseWriter, r *http.Request) error {
	e, err := h.found(r)
	if err != nil {
		return err
	}
	after, err := resumeAfter(r)
	if err != nil {
		return err
	}
	if e.State.Terminal() && after >= e.Sequence {
		w.WriteHeader(http.StatusNoContent) // which makes an EventSource stop asking
		return nil
	}
	if h.f.hub.full() {
		return fmt.Errorf("%w: %d watch jobs already", ErrBusy, maxWatchers)
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it all to the end
	if r.Method == http.MethodHead {
		return nil
	}
	s := stream{h: h, w: w, r: r}
	s.run(&e, after)
	return nil
}

// resumeAfter is the number of the last event that the caller has. A Last-Event-ID
// counts more than the query, which an EventSource repeats as it was at first.
func resumeAfter(r *http.Request) (uint64, error) {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return sequence("Last-Event-ID", id)
	}
	return sequence("after", r.URL.Query().Get("after"))
}

type stream struct {
	h    *handler
	w    http.ResponseWriter
	r    *http.Request
	tail []byte // of output: the beginning of a character that is not complete yet
}

// run ends with the job, with the caller, or with an error that is too late to tell:
// the caller comes back, and is told then.
func (s *stream) run(job *entry, after uint64) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	if s.write([]byte(":\n\n")) != nil { // the headers, without delay
		return
	}
	for e, err := range s.h.f.watch(s.r.Context(), job.ID, after, ticker.C) {
		if err != nil {
			if s.r.Context().Err() == nil && !errors.Is(err, ErrNotFound) {
				s.h.f.o.Logger.Warn("a stream of events broke off", "job", job.ID, "error", err)
			}
			return
		}
		if s.tell(&e) != nil {
			return
		}
	}
}

func (s *stream) tell(e *Event) error {
	switch e.Type {
	case OutputEvent:
		return s.output(e.Output)
	case ProgressEvent:
		return s.event(e.Type, 0, e.Progress)
	case "":
		return s.write([]byte(":\n\n"))
	}
	// Nothing that follows completes the character.
	if tail := s.tail; len(tail) > 0 {
		s.tail = nil
		if err := s.event(OutputEvent, 0, chunk{Base64: tail}); err != nil {
			return err
		}
	}
	if e.Type == GapEvent {
		return s.event(e.Type, 0, struct{}{})
	}
	data := eventAsJSON(e)
	if e.State.Terminal() {
		data.Job = s.final(e)
	}
	return s.event(e.Type, e.Sequence, data)
}

// final is the job at its end, unless that end has been undone since or the job is
// gone: the event is what counts.
func (s *stream) final(e *Event) *jobJSON {
	ctx := s.r.Context()
	j, err := s.h.f.Status(ctx, e.JobID)
	if err != nil || j.Sequence != e.Sequence {
		return nil
	}
	out, err := s.h.whole(ctx, j, s.h.base(s.r))
	if err != nil {
		return nil
	}
	return out
}

// chunk is a piece of output: text, or base64 if it is none.
type chunk struct {
	Text   string `json:"text,omitempty"`
	Base64 []byte `json:"base64,omitempty"`
}

// output passes output on in whole characters.
func (s *stream) output(p []byte) error {
	if len(s.tail) > 0 {
		p = append(s.tail, p...)
	}
	s.tail = nil
	whole := p[:len(p)-incomplete(p)]
	if !utf8.Valid(whole) {
		return s.event(OutputEvent, 0, chunk{Base64: p})
	}
	s.tail = bytes.Clone(p[len(whole):])
	if len(whole) == 0 {
		return nil
	}
	return s.event(OutputEvent, 0, chunk{Text: string(whole)})
}

// incomplete is how many bytes at the end of p begin a character and do not end it.
func incomplete(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if last := p[len(p)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// event writes one event. Its data is JSON, which has no line breaks of its own.
func (s *stream) event(t EventType, id uint64, data any) error {
	body, err := marshal(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", t)
	if id > 0 {
		fmt.Fprintf(&b, "id: %d\n", id)
	}
	fmt.Fprintf(&b, "data: %s\n\n", body)
	return s.write(b.Bytes())
}

// write sends what there is at once, or gives up on a caller who does not read.
func (s *stream) write(p []byte) error {
	extend(s.w, writeWait)
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}
