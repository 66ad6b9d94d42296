package foreman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// EventType says what an [Event] tells of.
type EventType string

// The types of events.
const (
	StateEvent    EventType = "state"    // the job changed its state; numbered and stored
	ProgressEvent EventType = "progress" // the backend reported progress; not stored
	OutputEvent   EventType = "output"   // the backend wrote output; not stored
	GapEvent      EventType = "gap"      // output that is not there any more
)

// Event is something that happened to a job.
type Event struct {
	Type  EventType
	JobID ulid.ULID
	// Sequence numbers the changes of state of a job, from 1. Events of other
	// types have that of the change that began the attempt.
	Sequence uint64
	// Offset is how many bytes of the output of the attempt have been told with this
	// event or are missing; 0 for StateEvent. Sequence and Offset are the [Mark] to go
	// on from.
	Offset    int64
	Timestamp time.Time // of an output or a gap, when it was told
	Attempt   int

	// For StateEvent.
	State, PreviousState State
	Model                string
	Error                *Error // at a terminal state that is not done
	// Position is the place of a change of state among those of all jobs, in
	// the order in which they were committed.
	Position uint64

	Progress *Progress // for ProgressEvent
	Output   []byte    // for OutputEvent
	Missing  int64     // for GapEvent: how many bytes of output
}

// Mark is how far a watcher of a job has come. The zero value is the beginning.
type Mark struct {
	Sequence uint64 // of the latest change of state
	Offset   int64  // in the output of the attempt that this began, in bytes
}

// String returns the mark as it stands in a stream of server-sent events, such as 2
// or 2:5120.
func (m Mark) String() string {
	if m.Offset == 0 {
		return strconv.FormatUint(m.Sequence, 10)
	}
	return strconv.FormatUint(m.Sequence, 10) + ":" + strconv.FormatInt(m.Offset, 10)
}

// Watch is [Foreman.WatchFrom] the change of state with the number after, and from
// the beginning of what there is of the output since.
func (f *Foreman) Watch(ctx context.Context, id ulid.ULID, after uint64) iter.Seq2[Event, error] {
	return f.watch(ctx, id, Mark{Sequence: after}, nil)
}

// WatchFrom returns what follows after a mark: the changes of state of a job, those
// that there are and then each as it happens, and among them, while this process runs
// the job, its progress and output as the backend reports them. It ends after the event
// of a terminal state, or with an error: [ErrNotFound], [ErrUnavailable] or the
// context's. If the job has ended at or before the mark, it ends at once.
//
// Changes of state are read from the store, and none is missed. When that has been read
// once and cannot be reached later ([store.ErrUnavailable]), output is told meanwhile, and
// changes when it is back. Of the output of the
// attempt that runs, the latest 256 KiB are there for everybody who watches: who comes
// late, or goes on from a mark, is told what is left of it, and before that a
// [GapEvent] tells how much is missing. One who is too slow finds such a gap too, and
// slows nobody. Output comes in pieces of up to 32 KiB, which need not be those that
// were written, and can end within a character. Of progress, the last report is told.
// After a mark in the output of an attempt that is over, the rest of that output is not
// told; the next attempt is told from its own beginning.
//
// Who watches when an attempt ends is told the rest of its output and then the change
// of state. Who comes after the end of the job is told no output: its result and its
// artifacts are there.
func (f *Foreman) WatchFrom(ctx context.Context, id ulid.ULID, from Mark) iter.Seq2[Event, error] {
	return f.watch(ctx, id, from, nil)
}

// watch is WatchFrom with an event of no type whenever tick gives something while
// there is nothing else to tell.
func (f *Foreman) watch(ctx context.Context, id ulid.ULID, from Mark, tick <-chan time.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := f.hub.watch(id, true)
		defer f.hub.leave(id, w)
		if a := f.runs.get(id); a != nil {
			w.join(a.task.live)
		}
		defer f.peers.follow(id, w)()
		looks, stop := f.peers.looks()
		defer stop()
		var again <-chan time.Time // after a look that failed
		v := view{f: f, ctx: ctx, id: id, w: w, from: from, after: from.Sequence, told: from.Sequence, yield: yield}
		for look, looked := true, false; ; {
			var stored []Event
			var ended bool
			if look {
				var err error
				stored, ended, err = f.eventsAfter(ctx, id, v.after)
				switch {
				case err == nil:
					looked, again = true, nil
				case looked && errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil:
					again = time.After(f.hub.lookPause())
				default:
					yield(Event{}, err)
					return
				}
			}
			more, ok := v.tell(stored)
			if !ok || ended {
				return
			}
			look = true
			select {
			case <-w.news:
			case <-looks:
			case <-again:
			case <-more:
				look = false // no change of state
			case <-tick:
				if !yield(Event{}, nil) {
					return
				}
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			}
		}
	}
}

// view is what one who watches a job has been told.
type view struct {
	f     *Foreman
	ctx   context.Context
	id    ulid.ULID
	w     *watcher
	from  Mark
	after uint64 // changes of state up to this have been read
	told  uint64 // and up to this have been told
	live  *live  // the attempt that is being told
	at    place  // how far
	yield func(Event, error) bool
}

// tell passes changes of state on, and what attempts show where it belongs among them:
// after the change that began the attempt, and to its end before the one that ended it.
// It returns what is closed when there is more to show, and whether to go on.
func (v *view) tell(stored []Event) (more <-chan struct{}, ok bool) {
	if n := len(stored); n > 0 {
		v.after = stored[n-1].Sequence
	}
	// The beginning of an attempt is stored before it shows anything, but it may be
	// that it is not read yet.
	for l := v.w.first(); l != nil && l.sequence <= v.after; l = v.w.first() {
		n := 0
		for n < len(stored) && stored[n].Sequence <= l.sequence {
			n++
		}
		if !v.states(stored[:n]) {
			return nil, false
		}
		stored = stored[n:]
		if l.sequence >= v.told { // no attempt that the watcher knows to be over
			if more, ok = v.shown(l); !ok {
				return nil, false
			}
			if len(stored) == 0 {
				return more, true
			}
		}
		v.w.past()
	}
	return nil, v.states(stored)
}

func (v *view) states(stored []Event) bool {
	for _, e := range stored {
		if v.told = e.Sequence; !v.yield(e, nil) {
			return false
		}
	}
	return true
}

// shown passes on what an attempt has to show by now.
func (v *view) shown(l *live) (more <-chan struct{}, ok bool) {
	if v.live == nil || v.live.sequence != l.sequence {
		v.live, v.at = l, place{}
		if v.from.Sequence == l.sequence {
			v.at.offset = max(v.from.Offset, 0)
		}
	}
	for {
		e, some, more := l.next(&v.at, outputPiece)
		if !some {
			return more, true
		}
		if err := v.ctx.Err(); err != nil {
			v.yield(Event{}, err)
			return nil, false
		}
		e.JobID = v.id
		if e.Timestamp.IsZero() {
			e.Timestamp = v.f.now()
		}
		if !v.yield(e, nil) {
			return nil, false
		}
	}
}

// eventsAfter reads the changes of state above a sequence, and whether the job
// has ended and none can follow.
func (f *Foreman) eventsAfter(ctx context.Context, id ulid.ULID, after uint64) ([]Event, bool, error) {
	const page = 100
	var out []Event
	for {
		stored, err := f.o.Store.Events(ctx, id, after, page)
		if err != nil {
			return nil, false, fmt.Errorf("job %s: events: %w", id, fromStore(err))
		}
		for _, s := range stored {
			e, err := decodeEvent(s)
			if err != nil {
				return nil, false, fmt.Errorf("job %s: events: %w", id, fromStore(err))
			}
			out, after = append(out, e), e.Sequence
		}
		if len(stored) == page {
			continue
		}
		if len(out) > 0 {
			return out, out[len(out)-1].State.Terminal(), nil
		}
		r, err := f.o.Store.Get(ctx, id)
		if err != nil {
			return nil, false, fmt.Errorf("job %s: %w", id, fromStore(err))
		}
		// Between the two reads it may have ended: then its event is still to be read.
		return out, State(r.State).Terminal() && r.Seq <= after, nil
	}
}

func decodeEvent(s store.Event) (Event, error) {
	var w webhook.Event
	if err := json.Unmarshal(s.Data, &w); err != nil {
		return Event{}, fmt.Errorf("%w: event %d: %w", store.ErrDamaged, s.Seq, err)
	}
	e := Event{
		Type: StateEvent, JobID: s.ID, Sequence: s.Seq, Timestamp: w.Timestamp, Attempt: w.Attempt,
		State: State(w.State), PreviousState: State(w.PreviousState), Model: w.Model, Position: s.Pos,
	}
	if w.Error != nil {
		if err := json.Unmarshal(w.Error, &e.Error); err != nil {
			return Event{}, fmt.Errorf("%w: event %d: %w", store.ErrDamaged, s.Seq, err)
		}
	}
	return e, nil
}
