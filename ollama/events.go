package ollama

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// readEvents reads the events of an answer of chat/completions or completions, and tells
// each text as it comes. The end mark is [DONE], after a reason for the end of
// each choice: without them Ollama has given up, or lost its model.
func readEvents(r io.Reader, most int64, path string, tell func(text string)) (json.RawMessage, error) {
	var a streamed
	done := false
	limited := &io.LimitedReader{R: r, N: most + 1}
	s := bufio.NewScanner(limited)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		data, ok := bytes.CutPrefix(s.Bytes(), []byte("data:"))
		data = bytes.TrimSpace(data)
		switch {
		case !ok || done: // a comment, the name of an event, or the end of one
			continue
		case limited.N == 0:
			return nil, tooLong("the answer has more than %d bytes", most)
		case string(data) == "[DONE]":
			done = true
			continue
		}
		text, err := a.add(data)
		if err != nil {
			return nil, cutShort(s.Err(), err)
		}
		if text != "" {
			tell(text)
		}
	}
	switch {
	case done && a.ended():
		return a.bytes(path), nil
	case limited.N == 0:
		return nil, tooLong("the answer has more than %d bytes", most)
	case errors.Is(s.Err(), bufio.ErrTooLong):
		return nil, tooLong("a line of the answer has more than %d bytes", maxLine)
	case s.Err() != nil:
		return nil, incomplete("the answer was cut off: %w", s.Err())
	}
	return nil, noEnd()
}
