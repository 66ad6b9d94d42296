package strictjson

import (
	"bytes"
	"fmt"
	"sync"
	"unicode/utf8"
)

// scanner walks over the text. It holds the open arrays and objects on a stack
// of its own, so that no depth of nesting can exhaust the goroutine's.
type scanner struct {
	data     []byte
	pos      int // the next byte to look at
	maxDepth int
	levels   []level
	names    [][]byte // unescaped, of the open objects, those of the outermost first
}

// What one scan has grown serves the next one, up to these sizes.
const (
	keptLevels = 64
	keptNames  = 256
)

var scanners = sync.Pool{New: func() any {
	return &scanner{levels: make([]level, 0, 16), names: make([][]byte, 0, 32)}
}}

func newScanner(data []byte, maxDepth int) *scanner {
	s := scanners.Get().(*scanner)
	s.data, s.pos, s.maxDepth = data, 0, maxDepth
	s.levels, s.names = s.levels[:0], s.names[:0]
	return s
}

// release gives the scanner to the next one who needs one, without the text.
func (s *scanner) release() {
	if cap(s.levels) > keptLevels || cap(s.names) > keptNames {
		return
	}
	s.data = nil
	clear(s.levels[:cap(s.levels)])
	clear(s.names[:cap(s.names)])
	scanners.Put(s)
}

// level is an open array or object.
type level struct {
	object bool
	first  int   // index in scanner.names of the object's first name
	index  index // of the names, once there are many
}

// value reads a value. For an array or object that is not empty it stops
// before the first value inside, and reports that it opened a level.
func (s *scanner) value() (opened bool, err error) {
	s.space()
	if s.pos == len(s.data) {
		return false, s.ended()
	}
	switch c := s.data[s.pos]; c {
	case '{', '[':
		return s.open(c == '{')
	case '"':
		_, err = s.text()
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		err = s.literal("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		err = s.number()
	default:
		err = s.unexpected("a value")
	}
	return false, err
}

// open enters the array or object that starts here, unless it is empty: then
// it reads past it.
func (s *scanner) open(object bool) (opened bool, err error) {
	if len(s.levels) >= s.maxDepth {
		return false, s.failAt(s.pos, "nested deeper than %d levels", s.maxDepth)
	}
	s.pos++
	s.space()
	if s.pos == len(s.data) {
		return false, s.ended()
	}
	if s.data[s.pos] == closer(object) {
		s.pos++
		return false, nil
	}
	s.levels = append(s.levels, level{object: object, first: len(s.names)})
	if object {
		return true, s.member()
	}
	return true, nil
}

// next goes on after a value: it leaves the levels that end here and stops
// before the next value. It reports false after the outermost value.
func (s *scanner) next() (more bool, err error) {
	for len(s.levels) > 0 {
		l := &s.levels[len(s.levels)-1]
		s.space()
		if s.pos == len(s.data) {
			return false, s.ended()
		}
		switch c := s.data[s.pos]; {
		case c == ',':
			s.pos++
			if l.object {
				return true, s.member()
			}
			return true, nil
		case c == closer(l.object):
			s.pos++
			s.names = s.names[:l.first]
			s.levels = s.levels[:len(s.levels)-1]
		case l.object:
			return false, s.unexpected("',' or '}'")
		default:
			return false, s.unexpected("',' or ']'")
		}
	}
	return false, nil
}

// member reads the name of a member, and the colon.
func (s *scanner) member() error {
	s.space()
	if s.pos == len(s.data) {
		return s.ended()
	}
	if s.data[s.pos] != '"' {
		return s.unexpected("a name in double quotes")
	}
	start := s.pos
	escaped, err := s.text()
	if err != nil {
		return err
	}
	name := s.data[start+1 : s.pos-1]
	if escaped {
		name = unescape(name)
	}
	if !s.add(name) {
		return s.failAt(start, "duplicate name %s", quote(name))
	}
	s.space()
	if s.pos == len(s.data) {
		return s.ended()
	}
	if s.data[s.pos] != ':' {
		return s.unexpected("':' after a name")
	}
	s.pos++
	return nil
}

func (s *scanner) literal(word string) error {
	rest := s.data[s.pos:]
	if bytes.HasPrefix(rest, []byte(word)) {
		s.pos += len(word)
		return nil
	}
	for i := range rest {
		if rest[i] != word[i] {
			s.pos += i
			return s.unexpected(word)
		}
	}
	return s.ended()
}

// number reads what RFC 8259, section 6, calls a number.
func (s *scanner) number() error {
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.at('.') {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

// digits reads one digit or more.
func (s *scanner) digits() error {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	switch {
	case s.pos > start:
		return nil
	case s.pos == len(s.data):
		return s.ended()
	default:
		return s.unexpected("a digit")
	}
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// closer returns the byte that ends an object or array.
func closer(object bool) byte {
	if object {
		return '}'
	}
	return ']'
}

func (s *scanner) ended() error { return s.fail(len(s.data), "unexpected end of input") }

func (s *scanner) unexpected(expected string) error {
	r, size := utf8.DecodeRune(s.data[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return s.failAt(s.pos, "invalid UTF-8")
	}
	return s.failAt(s.pos, "expected %s but found %q", expected, r)
}

func (s *scanner) fail(offset int, msg string) error {
	return &Error{Offset: int64(offset), Msg: msg}
}

func (s *scanner) failAt(offset int, format string, args ...any) error {
	return s.fail(offset, fmt.Sprintf(format, args...)+fmt.Sprintf(" at byte %d", offset))
}
