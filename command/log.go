package command

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// logName is the artifact that the standard error becomes.
	logName = "log"
	logType = "text/plain; charset=utf-8"
)

// headTail keeps the beginning and the end of what is written to it.
type headTail struct {
	most    int // bytes of both
	head    []byte
	tail    []byte // a ring, once it is full
	next    int    // where it is written to
	dropped int64
}

// Write never fails.
func (h *headTail) Write(p []byte) (int, error) {
	written := len(p)
	n := min(len(p), h.most/2-len(h.head))
	h.head, p = append(h.head, p[:n]...), p[n:]
	room := h.most - h.most/2
	n = min(len(p), room-len(h.tail))
	h.tail, p = append(h.tail, p[:n]...), p[n:]
	h.dropped += int64(len(p)) // of p, or of what it takes the place of
	if len(p) > room {
		p = p[len(p)-room:]
	}
	for len(p) > 0 {
		n := copy(h.tail[h.next:], p)
		h.next, p = (h.next+n)%room, p[n:]
	}
	return written, nil
}

// bytes is what was kept, with a line that says what was not. It cuts no character in
// two.
func (h *headTail) bytes() []byte {
	head := h.head
	tail := append(bytes.Clone(h.tail[h.next:]), h.tail[:h.next]...)
	if h.dropped == 0 {
		return append(bytes.Clone(head), tail...)
	}
	head, tail = wholeEnd(head), wholeStart(tail)
	dropped := h.dropped + int64(len(h.head)-len(head)+len(h.tail)-len(tail))
	var b bytes.Buffer
	b.Write(head)
	if len(head) > 0 && head[len(head)-1] != '\n' {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "[%d bytes dropped]\n", dropped)
	b.Write(tail)
	return b.Bytes()
}

// wholeEnd is b without the beginning of a character at its end.
func wholeEnd(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax+1); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			return b
		}
	}
	return b
}

// wholeStart is b without the end of a character at its start.
func wholeStart(b []byte) []byte {
	for i := range min(len(b), utf8.UTFMax) {
		if utf8.RuneStart(b[i]) {
			return b[i:]
		}
	}
	return b
}

// lastLine is the last line of a text with something in it, as a part of a message. A
// progress bar is many lines.
func lastLine(text []byte) string {
	const most = 500
	if len(text) > 16*most {
		text = text[len(text)-16*most:]
	}
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			if len(line) > most {
				line = line[:most] + "..."
			}
			return strings.ToValidUTF8(line, "")
		}
	}
	return ""
}
