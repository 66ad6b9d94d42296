package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
)

const (
	writerVariable = "FOREMAN_STORETEST_CHILD" // the place that a writer works on
	linePrefix     = "storetest "

	writerLease   = 250 * time.Millisecond
	writerLife    = 2 * time.Minute // longer than its parent lets it live
	writerBacklog = 300             // records that are open before inserts pause
)

// What a writer says. Each is one line, written before or after a call.
const (
	lineKept     = "kept"     // the record has this version and state
	lineDeleting = "deleting" // a call to delete the record follows
	lineDeleted  = "deleted"
	lineSettling = "settling" // a call to settle this attempt follows
	lineSettled  = "settled"
)

type line struct {
	What    string
	ID      ulid.ULID
	Version uint64      `json:",omitempty"`
	State   store.State `json:",omitempty"`
	Seq     uint64      `json:",omitempty"`
	Attempt int         `json:",omitempty"`
}

// writer is the process that is killed. Everything it stores follows from the
// id and the version of a record, so that its parent, and the writer of the
// next round, can tell what must be there.
type writer struct {
	store.Store
	ctx  context.Context
	mu   sync.Mutex // for out
	out  io.Writer
	open atomic.Int64 // records inserted and not yet worked off
}

// becomeWriter turns this process into a writer, if that is what it was
// started for, and does not return then.
func becomeWriter(h Harness) {
	place := os.Getenv(writerVariable)
	if place == "" {
		return
	}
	s, err := h.Open(place)
	if err == nil {
		err = writeAll(s)
	}
	fmt.Fprintln(os.Stderr, "storetest: the writer ended:", err)
	os.Exit(1)
}

func writeAll(s store.Store) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), writerLife, errors.New("nobody has killed it"))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop(errors.New("its parent has gone"))
	}()
	w := &writer{Store: s, ctx: ctx, out: os.Stdout}
	var all sync.WaitGroup
	for _, role := range []struct {
		callers int
		deed    func() (bool, error)
	}{{4, w.submit}, {4, w.work}, {2, w.send}, {1, w.clean}, {1, w.reap}} {
		for range role.callers {
			all.Go(func() { stop(w.repeat(role.deed)) })
		}
	}
	all.Wait()
	return context.Cause(ctx)
}

// repeat does a deed over and over, and pauses when there was nothing to do.
func (w *writer) repeat(deed func() (bool, error)) error {
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for {
		busy, err := deed()
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		select {
		case <-pause.C:
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// say writes one line, which its parent has even if this process dies next.
func (w *writer) say(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = fmt.Fprintf(w.out, "%s%s\n", linePrefix, text)
	return err
}

func (w *writer) sayKept(h store.Head) error {
	return w.say(line{What: lineKept, ID: h.ID, Version: h.Version, State: h.State})
}

// sayAll tells of each item of a batch that was carried out. That somebody
// else was quicker is no fault.
func (w *writer) sayAll(what string, results []store.Result, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, r := range results {
		switch {
		case r.Err == nil:
			err = w.sayKept(r.Head)
		case !errors.Is(r.Err, store.ErrStale) && !errors.Is(r.Err, store.ErrNotFound):
			err = fmt.Errorf("%s: %w", what, r.Err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
