package foreman

import (
	"sync"
	"time"
)

// scarce keeps what can happen with every request out of the log, but for once a second
// of each kind: a store that is down must not fill the disk.
type scarce struct {
	mu    sync.Mutex
	kinds map[Code]*omitted
}

type omitted struct {
	until time.Time
	count int
}

const scarcePause = time.Second

// pass reports whether something is to be logged now, and how much of its kind was left
// out since the last time.
func (s *scarce) pass(kind Code) (left int, ok bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.kinds[kind]
	if o == nil {
		if s.kinds == nil {
			s.kinds = map[Code]*omitted{}
		}
		o = &omitted{}
		s.kinds[kind] = o
	}
	if now.Before(o.until) {
		o.count++
		return 0, false
	}
	left = o.count
	o.until, o.count = now.Add(scarcePause), 0
	return left, true
}
