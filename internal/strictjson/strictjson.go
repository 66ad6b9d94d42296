// Package strictjson checks JSON more strictly than encoding/json reads it.
//
// encoding/json takes the last of two members with the same name, and puts
// U+FFFD in the place of bytes that are not UTF-8 and of lone surrogates.
// Other parsers take the first member, or refuse. Where one program checks a
// body and another acts on it, such a body can mean two things; [Check]
// refuses it, so that what was checked is what every later reader sees.
//
// Two freedoms are left to the reader. Numbers are checked for their form, not
// for their size or precision. Names that differ only by case are different
// names, as RFC 8259 has it, although encoding/json matches them to the same
// struct field.
package strictjson

// Error says what is wrong with a text, and where.
type Error struct {
	Offset int64  // of the first byte that is wrong, from 0; at the end of the input, its length
	Msg    string // one short sentence that also names the offset
}

// Error returns e.Msg.
func (e *Error) Error() string { return e.Msg }

// Check reports whether data is one JSON value (RFC 8259), in valid UTF-8,
// with no object that names a member twice, nested at most maxDepth levels. It
// returns nil, or an [*Error] about the first fault.
//
// Names are compared after unescaping: "a" and "\u0061" are the same. An
// escape that stands for half a surrogate pair is refused, as is a byte order
// mark. Whitespace may stand before and after the value, nothing else may.
//
// A string or a number alone has no levels, [] has one, [[]] has two; a
// maxDepth below 1 allows none. With a maxDepth of at most 10,000, which is
// where encoding/json stops, json.Valid accepts all that Check accepts.
//
// Check reads data once, in time proportional to its length however many
// members an object has, and does not recurse. Most texts cost no allocation;
// otherwise, what Check allocates is proportional to the number of names and
// levels open at once, and to the length of escaped names. It
// keeps no reference to data.
func Check(data []byte, maxDepth int) error {
	s := newScanner(data, maxDepth)
	defer s.release()
	if s.space(); s.pos == len(data) {
		return s.fail(s.pos, "empty body: expected a JSON value")
	}
	for more := true; more; {
		opened, err := s.value()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		if more, err = s.next(); err != nil {
			return err
		}
	}
	if s.space(); s.pos < len(data) {
		return s.unexpected("nothing after the value")
	}
	return nil
}
