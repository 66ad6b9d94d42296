package foreman

import (
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// slot is room for one loaded model: it serves one lane at a time. The desk's mu
// guards it.
type slot struct {
	pool   *pool
	number int // from 1, within the pool

	lane    string
	loading *loading // of the lane, while it is
	// doubtful says that the model may not be loaded, since its load has failed: it is
	// loaded again once somebody has heard of that from the backend.
	doubtful bool
	fresh    bool       // nothing has begun since it has come to its lane
	places   int        // how many can run at once
	busy     int        // how many do: jobs and callers of Do
	ahead    []*attempt // claimed, not begun, in claim order
	since    time.Time  // when the latest of them were claimed
	// claiming says that more are being claimed: the slot stays with its lane until
	// they have come.
	claiming bool
	ready    sync.Cond // signaled when a worker may find something to do
	pace     time.Duration
	runs     map[*running]struct{}

	used    time.Time // when something last began or ended here
	lastJob time.Time // when a job last began here, or it has come to its lane
	owed    bool      // the next place is a job's, whoever calls: jobs have waited for too long
}

// running is a job or a caller of Do that runs in a slot.
type running struct {
	job   ulid.ULID // zero for a caller
	model string
	owner string
	since time.Time
}

const (
	// So much work is claimed ahead: a slot need not stand idle while the next
	// claim is being made durable.
	aheadWork = 100 * time.Millisecond
	maxAhead  = 512
	// What was claimed ahead and has not begun after so long goes back: the jobs
	// before it are slower than those before them were.
	aheadLimit = 2 * aheadWork
)

// target is how many jobs to have claimed ahead, by how long jobs have been
// taking: none for a slow model, hundreds for jobs that take no time.
func (s *slot) target() int {
	if s.pace <= 0 {
		return 0
	}
	return min(int(aheadWork/s.pace)*s.places, maxAhead)
}

// want is how many jobs to claim now. It is 0 until enough are wanted to be worth
// a transaction, or a place would be empty.
func (s *slot) want() int {
	if s.loading != nil {
		return 0
	}
	n := s.places - s.busy + s.target() - len(s.ahead)
	if n <= 0 || s.busy+len(s.ahead) >= s.places && len(s.ahead) > s.target()/2 {
		return 0
	}
	return n
}

// took learns from how long a job has taken.
func (s *slot) took(d time.Duration) {
	d = max(d, time.Microsecond)
	if s.pace == 0 {
		s.pace = d
		return
	}
	// One slow job among quick ones counts at once, so that less is claimed that
	// cannot run soon; one quick job among slow ones counts little.
	if d > s.pace {
		s.pace = (s.pace + d) / 2
	} else {
		s.pace -= (s.pace - d) / 8
	}
}

// overstayed takes back what has been claimed ahead for too long, or may not begin. If it is not yet so
// long, it says when it will be.
func (s *slot) overstayed(now time.Time, paused bool) (back []*attempt, due time.Time) {
	if len(s.ahead) == 0 {
		return nil, time.Time{}
	}
	if due = s.since.Add(aheadLimit); due.After(now) && !paused {
		return nil, due
	}
	back, s.ahead = s.ahead, nil
	if !paused {
		s.pace = max(s.pace, aheadLimit)
	}
	return back, time.Time{}
}

// empty reports whether the slot can go to another lane.
func (s *slot) empty() bool {
	return s.busy == 0 && len(s.ahead) == 0 && s.loading == nil && !s.claiming
}

// forgetful is how long the model of a slot that does nothing is taken to be loaded. The
// backend may have unloaded it since, and others may have loaded more.
const forgetful = 10 * time.Second

// forgot reports whether the model of the slot is to be loaded again, or looked for.
func (s *slot) forgot(now time.Time) bool { return s.empty() && now.Sub(s.used) > forgetful }

// serve brings the slot to a lane.
func (s *slot) serve(lane string, places int, now time.Time) {
	s.lane, s.pace, s.places = lane, 0, places
	s.fresh, s.owed, s.doubtful, s.lastJob, s.used = true, false, false, now, now
}

// begin counts one that begins.
func (s *slot) begin(r *running) {
	s.busy++
	s.fresh = false
	s.used = r.since
	s.runs[r] = struct{}{}
	if r.job != (ulid.ULID{}) {
		s.lastJob, s.owed = r.since, false
	}
}
