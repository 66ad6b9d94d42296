// Package prefer reads the header Prefer (RFC 7240). A preference is never an error:
// one that makes no sense is none.
package prefer

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Wait is how long a caller prefers to wait (section 4.3), at most as long as given; 0
// if it does not say.
func Wait(h http.Header, most time.Duration) time.Duration {
	value, _ := preference(h, "wait")
	return seconds(value, most)
}

// NoWait reports whether a caller prefers not to wait at all: wait=0.
func NoWait(h http.Header) bool {
	value, _ := preference(h, "wait")
	return value != "" && strings.Trim(value, "0") == ""
}

// Async reports whether a caller prefers not to wait for the answer (section 4.1).
func Async(h http.Header) bool {
	value, ok := preference(h, "respond-async")
	return ok && value == ""
}

// Priority is the priority that a caller prefers to have in the queue, from -100 to 100
// as jobs have it; ok is false if it does not say. It is no preference that RFC 7240
// has.
func Priority(h http.Header) (n int, ok bool) {
	value, _ := preference(h, "priority")
	n, err := strconv.Atoi(value)
	if err != nil || n < -100 || n > 100 {
		return 0, false
	}
	return n, true
}

// preference is the value of a preference, of several the first.
func preference(h http.Header, wanted string) (value string, ok bool) {
	for _, line := range h.Values("Prefer") {
		for line != "" {
			var one string
			one, line = cutQuoted(line, ',')
			one, _ = cutQuoted(one, ';') // parameters, which those that are known have none of
			name, value, _ := strings.Cut(one, "=")
			if strings.EqualFold(strings.TrimSpace(name), wanted) {
				return Unquote(strings.TrimSpace(value)), true
			}
		}
	}
	return "", false
}

// seconds reads a number of seconds; 0 if it is none.
func seconds(digits string, most time.Duration) time.Duration {
	var d time.Duration
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0
		}
		d = min(10*d+time.Duration(digits[i]-'0')*time.Second, most)
	}
	return d
}

// cutQuoted cuts s at the first sep that is not within double quotes.
func cutQuoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// Unquote takes the quotes and escapes off a quoted string (RFC 9110, section 5.6.4).
// Any other text stays as it is.
func Unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
