package echo

import (
	"bytes"
	"context"
	"io"
	"time"
)

// generation is the body of an answer, made while it is read.
type generation struct {
	ctx   context.Context // ends with Close
	close context.CancelFunc
	form  form
	whole bool // all in one, not streamed
	begun time.Time
	delay time.Duration

	rest    string       // of the text that is repeated
	said    bytes.Buffer // if whole
	tokens  int
	pending bytes.Buffer // to be read
	ended   bool         // nothing follows what is pending
}

func (g *generation) Read(p []byte) (int, error) {
	for g.pending.Len() == 0 {
		if g.ended {
			return 0, io.EOF
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	return g.pending.Read(p)
}

// Close ends the answer, and a Read that waits.
func (g *generation) Close() error {
	g.close()
	return nil
}

// next makes one more token, or the end.
func (g *generation) next() error {
	if g.rest == "" {
		g.ended = true
		return g.write(g.said.String(), true)
	}
	if err := g.pause(); err != nil {
		return err
	}
	var token string
	token, g.rest = cut(g.rest)
	g.tokens++
	if g.whole {
		g.said.WriteString(token)
		return nil
	}
	return g.write(token, false)
}

func (g *generation) pause() error {
	if g.delay == 0 {
		return g.ctx.Err()
	}
	t := time.NewTimer(g.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-g.ctx.Done():
		return g.ctx.Err()
	}
}

func (g *generation) write(text string, done bool) error {
	b, err := g.form.part(g, text, done)
	g.pending.Write(b)
	return err
}

// form is how an answer is written.
type form interface {
	// part is the next piece of an answer, with what it says: one token, nothing in the
	// last piece of a stream, and everything if the answer comes as a whole.
	part(g *generation, text string, done bool) ([]byte, error)
}
