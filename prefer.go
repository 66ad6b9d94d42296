package foreman

import (
	"net/http"
	"strings"
	"time"
)

// maxHold is the longest that a request can ask to be held with Prefer: wait=N.
const maxHold = 60 * time.Second

// preferredWait is how long a caller prefers to wait for the end of a job (RFC 7240,
// section 4.3), at most maxHold; 0 if there is no such preference, or one that makes
// no sense: a preference is never an error. Of several the first counts.
func preferredWait(h http.Header) time.Duration {
	for _, line := range h.Values("Prefer") {
		for line != "" {
			var preference string
			preference, line = cutQuoted(line, ',')
			preference, _ = cutQuoted(preference, ';') // parameters, which wait has none of
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "wait") {
				return seconds(unquote(strings.TrimSpace(value)))
			}
		}
	}
	return 0
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

// unquote takes the quotes and escapes off a quoted string (RFC 9110, section 5.6.4).
// Any other text stays as it is.
func unquote(s string) string {
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

// seconds reads a number of seconds, at most maxHold; 0 if it is none.
func seconds(digits string) time.Duration {
	var d time.Duration
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0
		}
		d = min(10*d+time.Duration(digits[i]-'0')*time.Second, maxHold)
	}
	return d
}
