package foreman

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// keepAlive is how often a stream says something when there is nothing to tell, so
// that nobody on the way takes it for dead.
const keepAlive = 15 * time.Second

// stream serves the events of a job as Server-Sent Events (WHATWG HTML, section 9.2).
// The id of an event is the mark to go on from after a reconnect. Progress has none:
// the last report is told again anyway.
func (h *handler) stream(w http.ResponseWriter, r *http.Request) error {
	e, err := h.found(r)
	if err != nil {
		return err
	}
	from, err := resumeFrom(r)
	if err != nil {
		return err
	}
	if e.State.Terminal() && from.Sequence >= e.Sequence {
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
	s := stream{h: h, w: w, r: r, first: true}
	s.run(&e, from)
	return nil
}

// resumeFrom is the mark that the caller has come to. A Last-Event-ID counts more than
// the query, which an EventSource repeats as it was at first.
func resumeFrom(r *http.Request) (Mark, error) {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return parseMark("Last-Event-ID", id)
	}
	return parseMark("after", r.URL.Query().Get("after"))
}

// parseMark reads a mark as [Mark.String] writes it; the zero mark if there is none.
func parseMark(name, v string) (m Mark, err error) {
	number, offset, within := strings.Cut(v, ":")
	if !within {
		m.Sequence, err = sequence(name, v)
		return m, err
	}
	m.Sequence, err = strconv.ParseUint(number, 10, 63)
	if err == nil {
		m.Offset, err = strconv.ParseInt(offset, 10, 64)
	}
	if err != nil || m.Offset <= 0 || m.String() != v {
		return Mark{}, explain(ErrMalformed, "%s must be the id of an event as it was given out, such as 2, or 2:5120 within output", name)
	}
	return m, nil
}

type stream struct {
	h *handler
	w http.ResponseWriter
	r *http.Request

	first bool   // no output has been told yet
	at    Mark   // of the output that has come
	tail  []byte // of it: the beginning of a character that is not complete yet
}

// run ends with the job, with the caller, or with an error that is too late to tell:
// the caller comes back, and is told then.
func (s *stream) run(job *entry, from Mark) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	if s.write([]byte(":\n\n")) != nil { // the headers, without delay
		return
	}
	for e, err := range s.h.f.watch(s.r.Context(), job.ID, from, ticker.C) {
		if err != nil {
			if s.r.Context().Err() == nil && !errors.Is(err, ErrNotFound) {
				if left, ok := s.h.scarce.pass(errBrokeOff); ok {
					s.h.f.o.Logger.Warn("a stream of events broke off", "job", job.ID, "error", err, "others", left)
				}
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
		s.at = Mark{e.Sequence, e.Offset}
		return s.output(e.Output)
	case ProgressEvent:
		return s.event(e.Type, "", e.Progress)
	case "":
		return s.write([]byte(":\n\n"))
	}
	// Nothing that follows completes the character.
	if tail := s.tail; len(tail) > 0 {
		s.tail = nil
		if err := s.piece(chunk{Base64: tail}, 0); err != nil {
			return err
		}
	}
	if e.Type == GapEvent {
		return s.event(e.Type, Mark{e.Sequence, e.Offset}.String(), gap{e.Missing})
	}
	data := eventAsJSON(e)
	if e.State.Terminal() {
		data.Job = s.final(e)
	}
	return s.event(e.Type, Mark{Sequence: e.Sequence}.String(), data)
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

// gap says how many bytes of output are missing.
type gap struct {
	Missing int64 `json:"missing"`
}

// output passes output on in whole characters.
func (s *stream) output(p []byte) error {
	if s.first {
		s.first = false
		// Who resumes within a character gets the rest of it, and then text again.
		if n := leadingRest(p); n > 0 {
			if err := s.piece(chunk{Base64: p[:n]}, len(p)-n); err != nil {
				return err
			}
			p = p[n:]
		}
	}
	if len(s.tail) > 0 {
		p = append(s.tail, p...)
	}
	s.tail = nil
	whole := p[:len(p)-incomplete(p)]
	if !utf8.Valid(whole) {
		return s.piece(chunk{Base64: p}, 0)
	}
	s.tail = bytes.Clone(p[len(whole):])
	if len(whole) == 0 {
		return nil
	}
	return s.piece(chunk{Text: string(whole)}, len(s.tail))
}

// piece tells a piece of output; held is how much of what has come is behind it.
func (s *stream) piece(c chunk, held int) error {
	return s.event(OutputEvent, Mark{s.at.Sequence, s.at.Offset - int64(held)}.String(), c)
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
func (s *stream) event(t EventType, id string, data any) error {
	body, err := marshal(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", t)
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
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
