package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/foreman-go/foreman"
)

// output is the standard output of a program on its way to the watchers and to where it
// is kept.
type output struct {
	o    *Options
	t    *foreman.Task
	ctx  context.Context // outlives the attempt's
	stop func(error)     // ends the program

	from io.Reader
	left int64  // how much more it may be
	kept []byte // of a result
	err  error  // why it could not all be kept
}

// collect reads the output to its end and keeps it, unless that is to be the result. When
// that fails it has the program stopped, and lets it print what it likes until it is.
func (o *output) collect(from io.Reader) {
	o.from, o.left = from, o.o.MaxOutput
	var err error
	if o.o.Output.Result {
		o.kept, err = io.ReadAll(o)
	} else {
		_, err = o.t.ArtifactContext(o.ctx, o.o.Output.Artifact, o.o.Output.ContentType, o)
	}
	if o.err == nil && err != nil {
		o.fail(unkept(err))
	}
	_, _ = io.Copy(io.Discard, from)
}

// Read is the reading side of the artifact.
func (o *output) Read(p []byte) (int, error) {
	n, err := o.from.Read(p)
	if int64(n) > o.left {
		n, err = int(o.left), io.EOF // what there was room for is kept
		o.fail(foreman.Permanent(fmt.Errorf("the program printed more than %d bytes, and was stopped: have it print less, or set MaxOutput", o.o.MaxOutput)))
	}
	o.left -= int64(n)
	_, _ = o.t.Write(p[:n]) // never fails
	return n, err
}

func (o *output) fail(err error) {
	o.err = err
	o.stop(err)
}

// settle sets the result if the attempt has ended well, and else keeps what was to be it.
func (o *output) settle(well bool) error {
	switch {
	case !o.o.Output.Result:
		return nil
	case well:
		return o.setResult()
	case len(o.kept) == 0:
		return nil
	}
	_, err := o.t.ArtifactContext(o.ctx, o.o.Output.Artifact, o.o.Output.ContentType, bytes.NewReader(o.kept))
	return unkept(err)
}

func (o *output) setResult() error {
	if value := bytes.TrimSpace(o.kept); len(value) > 0 {
		err := o.t.SetResult(json.RawMessage(value))
		if err == nil || errors.Is(err, foreman.ErrTooLarge) {
			return unkept(err)
		}
	}
	return unkept(o.t.SetResult(string(bytes.ToValidUTF8(bytes.TrimRight(o.kept, "\r\n"), []byte("\uFFFD")))))
}

// unkept says that the output could not be kept. A larger one will not be smaller the next
// time.
func unkept(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the output of the program cannot be kept: %w", err)
	if errors.Is(err, foreman.ErrTooLarge) {
		return foreman.Permanent(err)
	}
	return err
}
