package foreman

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
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
	GapEvent      EventType = "gap"      // output or progress was dropped: the watcher was too slow
)

// Event is something that happened to a job.
type Event struct {
	Type  EventType
	JobID ulid.ULID
	// Sequence numbers the changes of state of a job, from 1. Events of other
	// types have that of the latest change before them.
	Sequence  uint64
	Timestamp time.Time
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
}

// Watch returns the changes of state of a job with a sequence above after, those
// that there are and then each as it happens, and among them, while this process
// runs the job, its progress and output as the backend reports them. It ends
// after the event of a terminal state, or with an error: [ErrNotFound],
// [ErrUnavailable] or the context's. If the job has ended at or before after, it
// ends at once.
//
// Changes of state are read from the store, and none is missed. Progress and
// output wait in a buffer of 256 KiB for each watcher; one that is too slow finds a
// [GapEvent] in place of what was dropped, and slows nobody.
func (f *Foreman) Watch(ctx context.Context, id ulid.ULID, after uint64) iter.Seq2[Event, error] {
	return f.watch(ctx, id, after, nil)
}

// watch is Watch with an event of no type whenever tick gives something while
// there is nothing else to tell.
func (f *Foreman) watch(ctx context.Context, id ulid.ULID, after uint64, tick <-chan time.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := f.hub.watch(id, true)
		defer f.hub.leave(id, w)
		for {
			live := w.take()
			stored, ended, err := f.eventsAfter(ctx, id, after)
			if err != nil {
				yield(Event{}, err)
				return
			}
			if len(stored) > 0 {
				after = stored[len(stored)-1].Sequence
			}
			if ended {
				live = append(live, w.take()...) // what came between, and nothing after
			}
			for _, e := range inOrder(stored, live) {
				if !yield(e, nil) {
					return
				}
			}
			if ended {
				return
			}
			select {
			case <-w.news:
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

// inOrder puts changes of state among the live events that came after them.
func inOrder(stored, live []Event) []Event {
	out := make([]Event, 0, len(stored)+len(live))
	for _, l := range live {
		for len(stored) > 0 && stored[0].Sequence <= l.Sequence {
			out, stored = append(out, stored[0]), stored[1:]
		}
		out = append(out, l)
	}
	return append(out, stored...)
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

// hub wakes those who watch a job.
type hub struct {
	watching atomic.Int64 // how many watchers there are: mostly none
	mu       sync.Mutex
	watchers map[ulid.ULID]map[*watcher]struct{}
}

func (h *hub) init() { h.watchers = map[ulid.ULID]map[*watcher]struct{}{} }

// watch adds a watcher of the changes of state of a job and, if it wants all, of its
// progress and output.
func (h *hub) watch(id ulid.ULID, all bool) *watcher {
	w := &watcher{news: make(chan struct{}, 1), all: all}
	h.watching.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[id] == nil {
		h.watchers[id] = map[*watcher]struct{}{}
	}
	h.watchers[id][w] = struct{}{}
	return w
}

func (h *hub) leave(id ulid.ULID, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[id], w)
	if len(h.watchers[id]) == 0 {
		delete(h.watchers, id)
	}
	h.watching.Add(-1)
}

// changed says that a job has a new event in the store.
func (h *hub) changed(id ulid.ULID) {
	h.each(id, func(w *watcher) { w.wake() })
}

// maxWatchers is how many may watch jobs before the handler lets nobody wait or
// stream any more.
const maxWatchers = 4_000

func (h *hub) full() bool { return h.watching.Load() >= maxWatchers }

// wakeAll makes every watcher look at the store again.
func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, watchers := range h.watchers {
		for w := range watchers {
			w.wake()
		}
	}
}

// tell passes on an event that is not stored.
func (h *hub) tell(e Event) {
	h.each(e.JobID, func(w *watcher) {
		if w.all {
			w.add(e)
		}
	})
}

func (h *hub) each(id ulid.ULID, fn func(*watcher)) {
	if h.watching.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers[id] {
		fn(w)
	}
}

// watcher is one who watches a job.
type watcher struct {
	news chan struct{} // holds at most one token
	all  bool          // wants what is not stored too
	mu   sync.Mutex
	live []Event
	size int // bytes of live
}

const (
	watcherBuffer = 256 << 10
	eventOverhead = 128
)

func (w *watcher) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *watcher) add(e Event) {
	defer w.wake()
	size := len(e.Output) + eventOverhead
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.live); n > 0 && w.live[n-1].Type == GapEvent {
		return // until the watcher has looked
	}
	if w.size+size > watcherBuffer {
		e.Type, e.Output, e.Progress = GapEvent, nil, nil
	}
	w.live, w.size = append(w.live, e), w.size+size
}

func (w *watcher) take() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	live := w.live
	w.live, w.size = nil, 0
	return live
}
