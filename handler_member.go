package foreman

import (
	"bytes"
	"encoding/json"
	"iter"
)

// What follows takes apart JSON that [strictjson.Check] has accepted, without a look
// at what it need not know. It is not for any other text.

const jsonSpace = " \t\r\n"

// member is one of an object.
type member struct {
	name       []byte
	quoted     []byte // the name as it is written
	value      []byte
	start, end int // of the member within the text
}

// members are those of the object that a text is, in order.
func members(object []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		c := cursor{text: object, at: bytes.IndexByte(object, '{') + 1}
		for c.another('}') {
			m := member{start: c.at}
			m.quoted = c.value()
			m.name = m.quoted[1 : len(m.quoted)-1]
			if bytes.IndexByte(m.name, '\\') >= 0 {
				name, _ := text(m.quoted)
				m.name = []byte(name)
			}
			c.skip(jsonSpace + ":")
			m.value = c.value()
			m.end = c.at
			if !yield(m) {
				return
			}
		}
	}
}

// elements are those of the array that a text is, in order.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := cursor{text: array, at: bytes.IndexByte(array, '[') + 1}
		for c.another(']') && yield(c.value()) {
		}
	}
}

// text is the text that a value stands for, if it is a string.
func text(value []byte) (s string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	return s, json.Unmarshal(value, &s) == nil
}

type cursor struct {
	text []byte
	at   int
}

// skip goes on to the next byte that is none of a few.
func (c *cursor) skip(few string) {
	c.at = len(c.text) - len(bytes.TrimLeft(c.text[c.at:], few))
}

// another goes on to the next value, and reports false at the end of the array or
// object.
func (c *cursor) another(closer byte) bool {
	c.skip(jsonSpace + ",")
	return c.text[c.at] != closer
}

// value goes past the value that begins here.
func (c *cursor) value() []byte {
	start := c.at
	switch c.text[c.at] {
	case '"':
		c.pastString()
	case '{', '[':
		c.pastLevel()
	default:
		c.at = len(c.text)
		if i := bytes.IndexAny(c.text[start:], jsonSpace+",]}"); i >= 0 {
			c.at = start + i
		}
	}
	return c.text[start:c.at:c.at]
}

// pastString looks for the next quote that is not escaped.
func (c *cursor) pastString() {
	for c.at++; ; {
		c.at += bytes.IndexByte(c.text[c.at:], '"')
		escapes := 0
		for c.text[c.at-1-escapes] == '\\' {
			escapes++
		}
		c.at++
		if escapes%2 == 0 {
			return
		}
	}
}

// pastLevel goes past an array or object with everything in it.
func (c *cursor) pastLevel() {
	for depth := 0; ; {
		switch c.text[c.at] {
		case '"':
			c.pastString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		c.at++
		if depth == 0 {
			return
		}
	}
}

// remainder is what is left of an object without some of its members.
type remainder struct {
	cuts    [][2]int
	keptEnd int  // of the latest member that is kept
	cutting bool // the latest member is left out
	end     int  // of the latest member
}

func (r *remainder) keep(m member) {
	if r.cutting {
		r.cuts[len(r.cuts)-1][1] = m.start
	}
	r.cutting, r.keptEnd, r.end = false, m.end, m.end
}

// leave leaves a member out, and the comma that would have nothing to part.
func (r *remainder) leave(m member) {
	if !r.cutting {
		r.cuts = append(r.cuts, [2]int{m.start, m.end})
	}
	r.cutting, r.end = true, m.end
}

// of gives the bytes of the object that are left, each as it was.
func (r *remainder) of(object []byte) []byte {
	if len(r.cuts) == 0 {
		return object
	}
	if r.cutting { // to the end: there is no member for the comma before to part from
		last := &r.cuts[len(r.cuts)-1]
		last[1] = r.end
		if r.keptEnd > 0 {
			last[0] = r.keptEnd
		}
	}
	out := make([]byte, 0, len(object))
	from := 0
	for _, c := range r.cuts {
		out = append(out, object[from:c[0]]...)
		from = c[1]
	}
	return append(out, object[from:]...)
}
