package strictjson

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads the string that starts here, and reports whether it has escapes.
func (s *scanner) text() (escaped bool, err error) {
	data := s.data
	for i := s.pos + 1; i < len(data); {
		if len(data)-i >= 8 {
			n := plain(binary.LittleEndian.Uint64(data[i:]))
			if i += n; n == 8 {
				continue
			}
		}
		switch c := data[i]; {
		case c == '"':
			s.pos = i + 1
			return escaped, nil
		case c == '\\':
			escaped = true
			n, err := s.escape(i)
			if err != nil {
				return false, err
			}
			i += n
		case c < ' ':
			return false, s.failAt(i, "unescaped control character %q", c)
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n == 1 {
				return false, s.failAt(i, "invalid UTF-8")
			}
			i += n
		}
	}
	return false, s.ended()
}

// plain counts how many of eight bytes, from the lowest on, stand for themselves: are
// ASCII, and no control character, quote or backslash. Most of a long text is looked
// at only so.
func plain(w uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	// A byte below n borrows into its highest bit, and so does one that equals c once
	// it is 0. What is borrowed can mark the bytes above it too, never one below.
	controls := w - ' '*ones
	quotes := (w ^ '"'*ones) - ones
	backslashes := (w ^ '\\'*ones) - ones
	return bits.TrailingZeros64((w|controls|quotes|backslashes)&highs) / 8
}

// escape checks the escape that starts at byte i, both halves of it if it is a
// surrogate pair, and returns its length.
func (s *scanner) escape(i int) (length int, err error) {
	rest := s.data[i:]
	if len(rest) < 2 {
		return 0, s.ended()
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
	default:
		return 0, s.failAt(i, "unknown escape %q", string(rest[:2]))
	}
	r, n := hex4(rest[2:])
	if n < 4 {
		if len(rest) == 2+n {
			return 0, s.ended()
		}
		return 0, s.failAt(i, `\u without four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(r) {
		return 6, nil
	}
	if len(rest) >= 12 && rest[6] == '\\' && rest[7] == 'u' {
		low, n := hex4(rest[8:])
		if n == 4 && utf16.DecodeRune(r, low) != utf8.RuneError {
			return 12, nil
		}
	}
	return 0, s.failAt(i, "lone surrogate %s", string(rest[:6]))
}

// hex4 reads up to four hexadecimal digits, and returns their value and how
// many there are.
func hex4(b []byte) (r rune, n int) {
	for n < 4 && n < len(b) {
		switch c := b[n]; {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return r, n
		}
		n++
	}
	return r, n
}

// unescape returns a copy of what stands between the quotes of a string that
// text has accepted, with its escapes replaced by what they stand for.
func unescape(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		switch c := raw[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(raw[i+2:])
			if utf16.IsSurrogate(r) {
				low, _ := hex4(raw[i+8:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
			i += 4
		default:
			out = append(out, c)
		}
		i += 2
	}
	return out
}

// quote returns the name for a message, cut if it is long.
func quote(name []byte) string {
	const most = 64
	if len(name) <= most {
		return strconv.Quote(string(name))
	}
	end := most
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return strconv.Quote(string(name[:end])) + "..."
}
