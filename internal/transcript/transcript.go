// Package transcript keeps what a test reads while it is still being written: the log of
// a server, or what a child process prints.
package transcript

import (
	"strings"
	"sync"
)

// Text is text to which any goroutine may write while others read it. The zero value is
// empty.
type Text struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds to the text. It never fails.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String returns what has been written so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
