package foreman

import "time"

// endpoint is what the outbox knows of one origin that webhooks go to: how many
// attempts may be under way to it at once, and whether it is left alone. Its methods
// are pure but for the endpoint itself; times are given.
//
// Its room begins small, grows with each success and falls to one with a failure, as
// a sender of packets does it. One that fails too often in a row is left alone as a
// whole (a circuit breaker), for longer and longer, with one attempt in between to see
// whether it is back. Nothing to it is dropped meanwhile, and no other attempt counted.
type endpoint struct {
	underway int
	bytes    int64 // of the bodies under way
	largest  int64 // of such bodies, since nothing was
	room     int
	proven   bool      // it has accepted something since it last failed
	failures int       // in a row
	trips    int       // how often in a row it was found to be failing
	since    time.Time // of the first failure in a row
	tripped  time.Time // when it was last found to be failing
	until    time.Time // left alone until then, if it is not zero
	used     time.Time
	heard    time.Time // when an attempt last ended, or began while no other was under way
}

const firstRoom = 4

// maxOfEndpoint bounds the bytes of bodies that are under way to one endpoint once
// something is.
const maxOfEndpoint = maxUnderway / 4

// free is how many more attempts can begin.
func (e *endpoint) free(now time.Time, most int) int {
	switch {
	case e.until.After(now):
		return 0
	case !e.until.IsZero():
		return 1 - e.underway // to see whether it is back
	}
	n := min(e.room, most) - e.underway
	if e.bytes > 0 {
		n = min(n, int((maxOfEndpoint-e.bytes)/e.largest))
	}
	return max(n, 0)
}

// succeeded says that it answered as it should. It reports whether that ends a time in
// which it was left alone.
func (e *endpoint) succeeded(begun time.Time, most int) (back bool) {
	if begun.Before(e.tripped) {
		return false
	}
	e.room = min(e.room+1, most)
	e.proven = true
	return e.recovered()
}

// failed says that an attempt did not reach it, or found it out of order. It reports
// whether that begins a time in which it is left alone.
func (e *endpoint) failed(begun, now time.Time, b *Breaker) (leave bool) {
	if begun.Before(e.tripped) || e.until.After(now) {
		return false // what was claimed before it was left alone tells nothing new
	}
	if e.failures == 0 {
		e.since = now
	}
	e.failures++
	e.room, e.proven = 1, false
	if b.Failures < 0 || e.failures < b.Failures {
		return false
	}
	pause := b.MaxDelay
	if e.trips < 30 && b.Delay < b.MaxDelay>>e.trips {
		pause = b.Delay << e.trips
	}
	e.trips++
	e.tripped, e.until = now, now.Add(jitter(pause))
	return true
}

// answered says that it was there for an attempt, and did not want this one. It reports
// what succeeded does.
func (e *endpoint) answered(begun time.Time) (back bool) {
	if begun.Before(e.tripped) {
		return false
	}
	return e.recovered()
}

// began says that an attempt with a body of so many bytes begins, and ended that one has
// ended.
func (e *endpoint) began(now time.Time, body int64) {
	if e.underway == 0 {
		e.heard, e.largest = now, 0
	}
	e.underway++
	e.bytes += body
	e.largest = max(e.largest, body)
}

func (e *endpoint) ended(now time.Time, body int64) {
	e.underway--
	e.bytes -= body
	e.heard = now
}

// answers reports whether it can be relied on not to keep its places for long: it is
// proven, and of what is under way something has ended lately.
func (e *endpoint) answers(now time.Time) bool {
	const silence = time.Second
	return e.proven && (e.underway == 0 || now.Sub(e.heard) < silence)
}

func (e *endpoint) recovered() (back bool) {
	back = !e.until.IsZero()
	e.failures, e.trips, e.since, e.until = 0, 0, time.Time{}, time.Time{}
	return back
}

// forgettable reports whether nothing that is still true is lost by forgetting it.
func (e *endpoint) forgettable(now time.Time) bool {
	const idle, old = time.Minute, 10 * time.Minute
	return e.underway == 0 && now.Sub(e.used) > idle && (e.failures == 0 || now.Sub(e.used) > old && now.Sub(e.until) > old)
}

// endpoints are those that the outbox knows.
type endpoints map[string]*endpoint

// maxEndpoints bounds how many are known: of more than that the ones are forgotten to
// which nothing is under way, those that fail last.
const maxEndpoints = 10_000

func (es endpoints) get(name string, now time.Time) *endpoint {
	e := es[name]
	if e == nil {
		if len(es) >= maxEndpoints {
			es.forget()
		}
		e = &endpoint{room: firstRoom}
		es[name] = e
	}
	e.used = now
	return e
}

func (es endpoints) forget() {
	for _, failing := range []bool{false, true} {
		for name, e := range es {
			if len(es) < maxEndpoints {
				return
			}
			if e.underway == 0 && (failing || e.failures == 0) {
				delete(es, name)
			}
		}
	}
}

// rooms says how many can be claimed of the endpoints that have more or less room than
// a new one, how much is under way to those that do not answer, in places and in bytes, and when the first of
// those that are left alone is looked at again.
func (es endpoints) rooms(now time.Time, most int) (rooms map[string]int, silent int, bytes int64, next time.Time) {
	rooms = map[string]int{}
	for name, e := range es {
		if e.forgettable(now) {
			delete(es, name)
			continue
		}
		if !e.answers(now) {
			silent += e.underway
			bytes += e.bytes
		}
		if n := e.free(now, most); e.proven || n != min(firstRoom, most) {
			rooms[name] = n
		}
		if e.until.After(now) {
			next = earlier(next, e.until)
		}
	}
	return rooms, silent, bytes, next
}

// answeringOnly takes the others out of rooms.
func (es endpoints) answeringOnly(rooms map[string]int, now time.Time) {
	for name := range rooms {
		if !es[name].answers(now) {
			delete(rooms, name)
		}
	}
}
