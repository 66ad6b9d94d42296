package foreman

import (
	"sync"
	"unicode/utf8"
)

// live is what a running attempt has to show: the latest of its output, and its last
// report of progress. Everybody who watches reads the same window, each at a place of
// their own, so that a watcher costs the attempt nothing, however slow it is.
type live struct {
	sequence uint64 // of the change of state that began the attempt, and no other one
	attempt  int

	mu       sync.Mutex
	window   []byte        // the byte at offset o stands at o % outputWindow
	end      int64         // how much output there has been
	first    int64         // what was before has never been here
	progress *Progress     // the last report
	reports  uint64        // how many there have been
	reportAt int64         // how much output there was before the last
	over     bool          // nothing more is taken
	news     chan struct{} // closed when there is more; nil while nobody waits for it
	ring     func()        // called when there is more; nil while nobody elsewhere is shown it
}

const (
	// outputWindow is how much of the latest output of an attempt can be had. It is
	// held only by attempts that write, and only as far as they do.
	outputWindow = 256 << 10
	// outputPiece is the most that one event has of it.
	outputPiece = 32 << 10
)

// write adds output, and reports whether it was taken, and whether it is the first that
// the attempt shows.
func (l *live) write(p []byte) (taken, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || len(p) == 0 {
		return false, false
	}
	first = l.end == 0 && l.reports == 0
	l.add(p)
	return true, first
}

// place adds output that stands at an offset, as far as it is not there yet. If what is
// before it is not there, it never will be.
func (l *live) place(offset int64, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if offset > l.end {
		l.end, l.first = offset, offset
	}
	if known := l.end - offset; known < int64(len(p)) {
		l.add(p[known:])
	}
}

// add adds output. mu is held.
func (l *live) add(p []byte) {
	if n := int(min(l.end+int64(len(p)), outputWindow)); n > len(l.window) {
		l.window = append(l.window, make([]byte, n-len(l.window))...)
	}
	at := l.end
	l.end += int64(len(p))
	if past := len(p) - outputWindow; past > 0 {
		p, at = p[past:], at+int64(past)
	}
	for len(p) > 0 {
		n := copy(l.window[at%outputWindow:], p)
		p, at = p[n:], at+int64(n)
	}
	l.tell()
}

// report replaces the progress, and reports whether it is the first that the attempt
// shows.
func (l *live) report(p *Progress) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	first = l.end == 0 && l.reports == 0
	l.progress, l.reportAt = p, l.end
	l.reports++
	l.tell()
	return first
}

// tell wakes those who wait. mu is held.
func (l *live) tell() {
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
	if l.ring != nil {
		l.ring()
	}
}

// relay has ring called when there is more; nil for nothing.
func (l *live) relay(ring func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring = ring
}

// length is how much output there has been.
func (l *live) length() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// begun reports whether there has been anything to show.
func (l *live) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end > 0 || l.reports > 0
}

// finish makes what is written from now on count for nothing.
func (l *live) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func (l *live) lastProgress() *Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress
}

// forgotten stands for an attempt that is over whose window is not kept any more: all
// that can be told is how much there was.
func (l *live) forgotten() *live {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &live{sequence: l.sequence, attempt: l.attempt, end: l.end, over: true}
}

// place is how far a watcher has come in what an attempt shows.
type place struct {
	offset  int64
	reports uint64
}

// next returns the event that follows at a place, with at most so many bytes of output,
// and moves it on. If there is none it
// returns what is closed when there may be one; nil if there never will be.
func (l *live) next(at *place, most int) (e Event, ok bool, news <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e = Event{Sequence: l.sequence, Attempt: l.attempt}
	at.offset = min(at.offset, l.end)
	begin := max(l.end-int64(len(l.window)), l.first)
	reported := at.reports < l.reports
	switch {
	case at.offset < begin:
		begin += l.rest(begin)
		e.Type, e.Missing = GapEvent, begin-at.offset
		at.offset = begin
	case reported && at.offset >= l.reportAt:
		at.reports = l.reports
		e.Type, e.Progress, e.Timestamp = ProgressEvent, l.progress, l.progress.At
	case at.offset < l.end:
		n := min(l.end-at.offset, int64(most))
		if reported {
			n = min(n, l.reportAt-at.offset)
		}
		e.Type, e.Output = OutputEvent, l.copied(at.offset, int(n))
		at.offset += n
	case l.over:
		return Event{}, false, nil
	default:
		if l.news == nil {
			l.news = make(chan struct{})
		}
		return Event{}, false, l.news
	}
	e.Offset = at.offset
	return e, true, nil
}

// copied is a piece of the window. mu is held.
func (l *live) copied(offset int64, n int) []byte {
	out := make([]byte, n)
	i := int(offset % outputWindow)
	copy(out[copy(out, l.window[i:min(i+n, len(l.window))]):], l.window)
	return out
}

// rest is how many bytes at an offset complete a character that began before it: at
// the beginning of the window it is cut, and of no use to anybody. mu is held.
func (l *live) rest(offset int64) int64 {
	n := min(l.end-offset, utf8.UTFMax-1)
	if n <= 0 || len(l.window) == 0 {
		return 0
	}
	return int64(leadingRest(l.copied(offset, int(n))))
}

// leadingRest is how many bytes at the beginning of p cannot begin a character, as far
// as they can be the rest of one.
func leadingRest(p []byte) int {
	n := 0
	for n < len(p) && n < utf8.UTFMax-1 && !utf8.RuneStart(p[n]) {
		n++
	}
	return n
}
