package foreman

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
)

// hub wakes those who watch a job.
type hub struct {
	watching atomic.Int64 // how many watchers there are: mostly none
	mu       sync.Mutex
	watchers map[ulid.ULID]map[*watcher]struct{}
}

func (h *hub) init() { h.watchers = map[ulid.ULID]map[*watcher]struct{}{} }

// watch adds a watcher of the changes of state of a job and, if it wants all, of what
// its attempts in this process show.
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

// shows says that an attempt has something to show for the first time. Whoever comes
// later finds it among the attempts that run.
func (h *hub) shows(id ulid.ULID, l *live) {
	h.each(id, func(w *watcher) {
		if w.all {
			w.join(l)
			w.wake()
		}
	})
}

// maxWatchers is how many may watch jobs before the handler lets nobody wait or
// stream any more.
const maxWatchers = 4_000

func (h *hub) full() bool { return h.watching.Load() >= maxWatchers }

// lookPause is the pause between looks at the store by those who watch, where nobody tells
// them of changes: longer the more there are.
func (h *hub) lookPause() time.Duration {
	return time.Second + time.Duration(h.watching.Load())*time.Millisecond
}

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

	mu    sync.Mutex
	lives []*live // of attempts that it has not told to the end, in order
}

// maxLives is of how many attempts a watcher that does not look keeps the windows.
const maxLives = 4

func (w *watcher) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// join adds an attempt to those to be told.
func (w *watcher) join(l *live) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.lives, l) {
		return
	}
	w.lives = append(w.lives, l)
	if i := len(w.lives) - 1 - maxLives; i >= 0 {
		w.lives[i] = w.lives[i].forgotten()
	}
}

// first is the attempt to be told first, or nil.
func (w *watcher) first() *live {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lives) == 0 {
		return nil
	}
	return w.lives[0]
}

// past says that the first attempt has been told to the end.
func (w *watcher) past() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives = slices.Delete(w.lives, 0, 1)
}
