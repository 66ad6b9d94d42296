package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/foreman-go/foreman"
)

// Run runs the program for an attempt at a job, and returns when it has ended and nothing
// of its process group is left.
//
// Exit status 0 is the only good end. Of the others those in [Options.FinalExits] are
// permanent, and any other, or the end by a signal, is a passing fault; the message has
// the last line of the standard error. Permanent too are a job that lacks what a
// placeholder stands for or has a value that cannot be an argument, arguments that are
// too long for the system, and output beyond [Options.MaxOutput]. A program that cannot be
// started is a passing fault: it was there when New was called, so somebody is replacing it
// or can put it back, and it holds up no other job. After [Options.Timeout] the fault is
// [foreman.RunTimeout]. When ctx ends Run stops the program and returns the cause, wrapped.
//
// The log, if there is any, and the output as far as it came are kept whatever the end is.
func (b *Backend) Run(ctx context.Context, t *foreman.Task) error {
	s := subject{t.ID.String(), t.Attempt, &t.Spec}
	args, err := b.arguments(s)
	if err != nil {
		return err
	}
	stdin, err := b.input(s)
	if err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if b.o.Timeout > 0 {
		late := &foreman.Failure{Type: foreman.RunTimeout, Err: fmt.Errorf("%s took longer than its timeout of %s", b.name(), b.o.Timeout)}
		timed, cancel := context.WithTimeoutCause(running, b.o.Timeout, late)
		defer cancel()
		running = timed
	}
	keep := context.WithoutCancel(ctx)
	out := &output{o: &b.o, t: t, ctx: keep, stop: stop}
	log := &headTail{most: b.o.MaxLog}
	e, err := b.execute(running, args, stdin, out.collect, func(r io.Reader) { _, _ = io.Copy(log, r) })
	switch {
	case ctx.Err() != nil && (err != nil || e.stopped):
		err = fmt.Errorf("%s was stopped: %w", b.name(), context.Cause(ctx))
	case err != nil && running.Err() != nil:
		err = context.Cause(running)
	case err != nil:
		return b.cannotStart(err)
	case out.err != nil:
		err = out.err
	case e.stopped:
		err = context.Cause(running)
	default:
		err = b.fault(e, log)
	}
	if unkept := out.settle(err == nil); err == nil {
		err = unkept
	}
	return b.keepLog(keep, t, log, err)
}

// keepLog keeps the standard error, and returns the error of the attempt. One of keeping
// the log comes after it.
func (b *Backend) keepLog(ctx context.Context, t *foreman.Task, log *headTail, err error) error {
	text := log.bytes()
	if len(text) == 0 {
		return err
	}
	_, unkept := t.ArtifactContext(ctx, logName, logType, bytes.NewReader(text))
	switch {
	case unkept == nil:
		return err
	case err == nil:
		return fmt.Errorf("the log of the program cannot be kept: %w", unkept)
	}
	return fmt.Errorf("%w; and the log cannot be kept: %s", err, unkept.Error())
}

// cannotStart is the fault of a program that was not started.
func (b *Backend) cannotStart(err error) error {
	err = fmt.Errorf("%s cannot be run: %w", b.name(), err)
	if errors.Is(err, syscall.E2BIG) {
		return foreman.Permanent(fmt.Errorf("%w: have the program read long values from its standard input", err))
	}
	return err
}

// fault is what a program has ended with, nil for a good end.
func (b *Backend) fault(e ending, log *headTail) error {
	if e.state.Success() {
		return nil
	}
	err := fmt.Errorf("%s: %s", b.name(), e.state) // such as exit status 1, or signal: killed
	if line := lastLine(log.bytes()); line != "" {
		err = fmt.Errorf("%w: %s", err, line)
	}
	if slices.Contains(b.o.FinalExits, e.state.ExitCode()) {
		return foreman.Permanent(err)
	}
	return err
}

func (b *Backend) name() string { return filepath.Base(b.o.Path) }
