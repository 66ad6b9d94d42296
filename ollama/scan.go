package ollama

import (
	"bytes"
	"encoding/json"
)

// members tells the members of the JSON object that b begins with, in order: the name
// and the bytes of the value, which are neither copied nor looked into, so that a large
// body is passed over at the speed of its memory. It ends early when see returns false.
//
// It reports whether that was an object, as far as it has looked: what stands in the
// values is not checked.
func members(b []byte, see func(name string, value []byte) bool) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return true
	}
	for i < len(b) && b[i] == '"' {
		end := skipString(b, i)
		if end < 0 {
			return false
		}
		name, ok := unquoted(b[i:end])
		i = space(b, end)
		if !ok || i >= len(b) || b[i] != ':' {
			return false
		}
		i = space(b, i+1)
		if end = skipValue(b, i); end < 0 {
			return false
		}
		if !see(name, b[i:end]) {
			return true
		}
		i = space(b, end)
		switch {
		case i < len(b) && b[i] == '}':
			return true
		case i >= len(b) || b[i] != ',':
			return false
		}
		i = space(b, i+1)
	}
	return false
}

// unquoted is the text of a string with its quotes. Names seldom have an escape.
func unquoted(b []byte) (text string, ok bool) {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : len(b)-1]), true
	}
	return text, json.Unmarshal(b, &text) == nil
}

// space is the index of the next byte that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue is the index behind the value at i, or -1 if it has no end.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	from := i
	for i < len(b) && bytes.IndexByte([]byte(",]} \t\n\r"), b[i]) < 0 {
		i++
	}
	if i == from || i == len(b) {
		return -1
	}
	return i
}

// skipNested is the index behind the object or array at i, or -1.
func skipNested(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
	return -1
}

// skipString is the index behind the string whose opening quote is at i, or -1.
func skipString(b []byte, i int) int {
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		escapes := 0
		for escapes < n && b[i+n-1-escapes] == '\\' {
			escapes++
		}
		i += n + 1
		if escapes%2 == 0 {
			return i
		}
	}
}
