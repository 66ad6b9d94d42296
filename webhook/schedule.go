package webhook

import (
	"math/rand/v2"
	"time"
)

const (
	// jitter is how far a delay may be from its place in the schedule, as a
	// part of it, so that what failed together is not sent again together.
	jitter = 0.2
	// maxRetryAfter is the longest wait that a receiver may ask for.
	maxRetryAfter = 24 * time.Hour
)

// Schedule is the gaps between the attempts at one delivery: the first is the
// time between the end of the first attempt and the second attempt. There is
// one attempt more than there are gaps.
type Schedule []time.Duration

// DefaultSchedule returns a new copy of 5 s, 5 min, 30 min, 2 h, 5 h: six
// attempts in about seven and a half hours, the first steps of the schedule
// that Standard Webhooks recommends.
func DefaultSchedule() Schedule {
	return Schedule{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour}
}

// doubling returns n gaps, each twice as long as the one before.
func doubling(first time.Duration, n int) Schedule {
	s := make(Schedule, n)
	for i := range s {
		s[i] = first << i
	}
	return s
}

// Next returns how long to wait after an attempt that failed, counted from 1,
// and false if it was the last one.
//
// The wait is the gap with a jitter of up to 20 % either way. If the receiver
// asked for a longer one ([Outcome].RetryAfter), that is used as it is, but at
// most 24 hours. rnd returns numbers in [0, 1); if it is nil,
// [math/rand/v2.Float64] is used. Next is safe for concurrent use if rnd is.
func (s Schedule) Next(attempt int, retryAfter time.Duration, rnd func() float64) (time.Duration, bool) {
	if attempt > len(s) {
		return 0, false
	}
	if rnd == nil {
		rnd = rand.Float64
	}
	gap := s[max(attempt, 1)-1]
	delay := time.Duration(float64(gap) * (1 - jitter + 2*jitter*rnd()))
	return max(delay, min(retryAfter, maxRetryAfter)), true
}
