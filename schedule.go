package foreman

import "time"

// demand is what waits for one lane.
type demand struct {
	lane     string
	priority int
	sync     bool      // callers of Do wait at that priority
	since    time.Time // since when the lane has had to wait
	served   bool      // by another slot
}

// pick says which lane a slot serves next. It stays with its lane while that has
// work, so that a loaded model is used, unless another lane that nobody serves has
// waited longer than maxWait or has work of a higher priority. ok is false when
// there is nothing for the slot to do.
func pick(now time.Time, current string, lanes []demand, maxWait time.Duration) (lane string, ok bool) {
	var best, own *demand
	for i := range lanes {
		d := &lanes[i]
		switch {
		case d.lane == current:
			own = d
		case !d.served && (best == nil || d.before(best, now, maxWait)):
			best = d
		}
	}
	switch {
	case own == nil && best == nil:
		return "", false
	case own == nil:
		return best.lane, true
	case best == nil:
		return current, true
	case best.priority > own.priority:
		return best.lane, true
	case best.priority == own.priority && best.overdue(now, maxWait):
		return best.lane, true
	}
	return current, true
}

func (d *demand) overdue(now time.Time, maxWait time.Duration) bool {
	return now.Sub(d.since) > maxWait
}

// before orders lanes by what a free slot takes first.
func (d *demand) before(o *demand, now time.Time, maxWait time.Duration) bool {
	if d.priority != o.priority {
		return d.priority > o.priority
	}
	if a, b := d.overdue(now, maxWait), o.overdue(now, maxWait); a != b {
		return a
	}
	if d.sync != o.sync {
		return d.sync
	}
	if !d.since.Equal(o.since) {
		return d.since.Before(o.since)
	}
	return d.lane < o.lane
}
