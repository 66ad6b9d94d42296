package echo

import (
	"strings"
	"unicode/utf8"
)

// mostToken bounds a token in bytes, and with it the lines of a streamed answer.
const mostToken = 256

const blanks = " \t\r\n"

// cut takes the first token off a text: a word with the blanks before it, so that the
// tokens of a text are the text. A long one is cut at the end of a character.
func cut(text string) (token, rest string) {
	start := len(text) - len(strings.TrimLeft(text, blanks))
	end := len(text)
	if i := strings.IndexAny(text[start:], blanks); i >= 0 {
		end = start + i
	}
	if end > mostToken {
		end = mostToken
		for end > mostToken-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
	}
	return text[:end], text[end:]
}
