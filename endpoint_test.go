package foreman

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

var endpointStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Whatever happens in whatever order: as many attempts as are free can begin and never
// more than the most, or one once an endpoint was left alone; and an endpoint that is not
// left alone has room for one at least.
func TestEndpointBounds(t *testing.T) {
	property := func(seed uint64, steps []uint8) bool {
		rnd := rand.New(rand.NewPCG(seed, 0))
		most, now := 1+rnd.IntN(40), endpointStart
		b := Breaker{Failures: []int{-1, 1, 3, 5}[rnd.IntN(4)], Delay: time.Second, MaxDelay: time.Duration(1+rnd.IntN(20)) * time.Second}
		e := endpoints{}.get("a", now)
		for _, step := range steps {
			switch free := e.free(now, most); {
			case e.until.After(now) && free != 0:
				return false
			case !e.until.IsZero() && free > 1, free > 0 && e.underway+free > most:
				return false
			case e.underway == 0 && free < 1 && !e.until.After(now):
				return false
			case e.room < 1, e.room > max(most, firstRoom):
				return false
			case step%4 == 0 && free > 0:
				e.underway += 1 + rnd.IntN(free)
			case step%4 == 1:
				now = now.Add(time.Duration(step) * 50 * time.Millisecond)
			case e.underway > 0:
				e.underway--
				switch step / 4 % 3 {
				case 0:
					e.succeeded(now, most)
				case 1:
					if e.failed(now, now, &b) && b.Failures < 0 {
						return false
					}
				default:
					e.answered(now)
				}
			}
		}
		return true
	}
	require.NoError(t, quick.Check(property, &quick.Config{MaxCount: 2000}))
}

// Room for one more with each success, up to the most, and for one after a failure.
func TestEndpointGrowsAndFalls(t *testing.T) {
	const most = 6
	never := &Breaker{Failures: -1}
	e := endpoints{}.get("a", endpointStart)
	for _, want := range []int{4, 5, 6, 6} {
		require.Equal(t, want, e.free(endpointStart, most))
		e.succeeded(endpointStart, most)
	}
	require.False(t, e.failed(endpointStart, endpointStart, never))
	for _, want := range []int{1, 2, 3} {
		require.Equal(t, want, e.free(endpointStart, most))
		e.succeeded(endpointStart, most)
	}
	e.answered(endpointStart)
	require.Equal(t, 4, e.free(endpointStart, most), "an answer that is no success makes it neither larger nor smaller")
	for range 1000 {
		require.False(t, e.failed(endpointStart, endpointStart, never), "never left alone")
	}
	require.Equal(t, 1, e.free(endpointStart, most))
	require.Equal(t, 1, endpoints{}.get("b", endpointStart).free(endpointStart, 1), "the most holds from the beginning")
}

// It is left alone for twice as long each time, up to MaxDelay; with one attempt in
// between.
func TestEndpointTrips(t *testing.T) {
	b := &Breaker{Failures: 3, Delay: time.Second, MaxDelay: 10 * time.Second}
	now := endpointStart
	e := endpoints{}.get("a", now)
	require.False(t, e.failed(now, now, b))
	require.False(t, e.failed(now.Add(time.Millisecond), now.Add(time.Millisecond), b))
	e.answered(now)
	require.False(t, e.failed(now.Add(time.Second), now.Add(time.Second), b), "an answer has come between: not in a row")
	require.False(t, e.failed(now, now, b))
	for trip, delay := range []time.Duration{1, 2, 4, 8, 10, 10} {
		require.True(t, e.failed(now, now, b))
		delay *= time.Second
		require.WithinRange(t, e.until, now.Add(delay*8/10), now.Add(delay*12/10), "trip %d", trip)
		require.Zero(t, e.free(now, 32))
		until := e.until
		require.False(t, e.failed(now.Add(-1), now, b), "one that was under way says nothing new")
		e.answered(now.Add(-1))
		require.Equal(t, until, e.until, "nor does one that was not wanted")
		now = until
		require.Equal(t, 1, e.free(now, 32), "one shows whether it is back")
		e.underway++
		require.Zero(t, e.free(now, 32), "and no other meanwhile")
		e.underway--
	}
	require.Equal(t, endpointStart.Add(time.Second), e.since)
	require.False(t, e.succeeded(endpointStart, 32), "nor one that was under way and is accepted")
	require.True(t, e.succeeded(now, 32), "back")
	require.False(t, e.succeeded(now, 32), "not twice")
	require.Equal(t, 3, e.free(now, 32))
	require.False(t, e.failed(now, now, b))
	require.False(t, e.failed(now, now, b))
	require.True(t, e.failed(now, now, b))
	require.WithinRange(t, e.until, now.Add(800*time.Millisecond), now.Add(1200*time.Millisecond), "it begins anew")

	long := &Breaker{Failures: 1, Delay: time.Nanosecond, MaxDelay: 1 << 62}
	e = endpoints{}.get("b", now)
	for range 200 {
		require.True(t, e.failed(now, now, long))
		require.True(t, e.until.After(now.Add(-1)), "no delay overflows")
		now = e.until
		if now.Year() > 2200 {
			break
		}
	}
}

// However many endpoints there are, a bounded number is known: what is forgotten is what
// nothing is under way to, those that fail last.
func TestEndpointsAreForgotten(t *testing.T) {
	now := endpointStart
	es := endpoints{}
	for i := range maxEndpoints {
		e := es.get(fmt.Sprint(i), now)
		switch i % 3 {
		case 0:
			e.underway = 1
		case 1:
			e.failed(now, now, &Breaker{Failures: 5})
		}
	}
	kinds := func() (underway, failing int) {
		for _, e := range es {
			underway += e.underway
			failing += e.failures
		}
		return underway, failing
	}
	underway, failing := kinds()
	for i := range maxEndpoints / 3 {
		es.get(fmt.Sprint("new ", i), now).underway = 1
		require.LessOrEqual(t, len(es), maxEndpoints)
	}
	u, f := kinds()
	require.Equal(t, underway+maxEndpoints/3, u)
	require.Equal(t, failing, f, "what failed is known while there were others to forget")
	for i := range maxEndpoints / 3 {
		es.get(fmt.Sprint("newer ", i), now).underway = 1
		require.LessOrEqual(t, len(es), maxEndpoints)
	}
	u, _ = kinds()
	require.Equal(t, underway+maxEndpoints/3*2, u, "never one under way")
}

// What is idle is not told of, and forgotten; what fails is kept, as long as it does.
func TestEndpointRooms(t *testing.T) {
	now := endpointStart
	b := &Breaker{Failures: 1, Delay: time.Hour, MaxDelay: time.Hour}
	es := endpoints{}
	es.get("idle", now)
	es.get("busy", now).underway = 3
	es.get("full", now).underway = 4
	es.get("left", now).failed(now, now, b)
	es.get("later", now.Add(time.Minute)).failed(now.Add(time.Minute), now.Add(time.Minute), &Breaker{Failures: 1, Delay: 3 * time.Hour, MaxDelay: 3 * time.Hour})
	rooms, unproven, _, next := es.rooms(now, 32)
	require.Equal(t, map[string]int{"busy": 1, "full": 0, "left": 0, "later": 0}, rooms, "one that is as a new one need not be named")
	require.Equal(t, 7, unproven)
	require.Equal(t, es["left"].until, next, "the first that is looked at again")

	now = es["left"].until.Add(5 * time.Minute)
	es["busy"].succeeded(now, 32)
	es["busy"].heard = now
	rooms, unproven, _, next = es.rooms(now, 32)
	require.Equal(t, map[string]int{"busy": 2, "full": 0, "left": 1, "later": 0}, rooms)
	require.Equal(t, 4, unproven)
	require.Equal(t, es["later"].until, next)
	require.NotContains(t, es, "idle")
	require.Equal(t, firstRoom, es.get("idle", now).free(now, 32), "known anew")
	es.answeringOnly(rooms, now)
	require.Equal(t, map[string]int{"busy": 2}, rooms)

	now = now.Add(10 * time.Minute)
	_, _, _, _ = es.rooms(now, 32)
	require.NotContains(t, es, "left", "it failed long ago")
	require.Contains(t, es, "later")
}

// One that has been proven and keeps silent is not relied on, until it is heard of again.
func TestEndpointKeepsSilent(t *testing.T) {
	now := endpointStart
	e := endpoints{}.get("a", now)
	require.False(t, e.answers(now), "nothing is known of it")
	e.succeeded(now, 32)
	require.True(t, e.answers(now.Add(time.Hour)), "nothing is under way")
	now = now.Add(time.Hour)
	e.began(now, 1)
	e.began(now.Add(900*time.Millisecond), 1)
	require.True(t, e.answers(now.Add(999*time.Millisecond)))
	require.False(t, e.answers(now.Add(time.Second)), "though another has begun since")
	e.ended(now.Add(2*time.Second), 1)
	require.True(t, e.answers(now.Add(2*time.Second)))
	require.False(t, e.answers(now.Add(3*time.Second)))
	e.failed(now.Add(3*time.Second), now.Add(3*time.Second), &Breaker{Failures: 5})
	e.ended(now.Add(3*time.Second), 1)
	require.False(t, e.answers(now.Add(3*time.Second)))
}

// What began before an endpoint was left alone says nothing when it is back either.
func TestEndpointForgetsWhatWasBefore(t *testing.T) {
	b := &Breaker{Failures: 2, Delay: time.Second, MaxDelay: time.Minute}
	old, now := endpointStart, endpointStart.Add(10*time.Second)
	e := endpoints{}.get("a", old)
	e.failed(old, now, b)
	require.True(t, e.failed(old.Add(time.Second), now, b))
	now = e.until
	require.True(t, e.succeeded(now, 32), "the probe")
	for range 5 {
		require.False(t, e.failed(old, now, b))
	}
	require.True(t, e.proven)
	require.Equal(t, 2, e.free(now, 32))
	require.False(t, e.failed(now, now, b), "one in a row")
}

// An attempt that began before its endpoint was left alone, and ends after, is not the
// one that shows whether it is back.
func TestEndpointTakesNoOldAttemptForAProbe(t *testing.T) {
	b := &Breaker{Failures: 1, Delay: 10 * time.Second, MaxDelay: time.Minute}
	begun := endpointStart
	e := endpoints{}.get("a", begun)
	require.True(t, e.failed(begun, begun.Add(time.Second), b))
	later := begun.Add(15 * time.Second)
	require.False(t, e.failed(begun, later, b))
	require.Equal(t, 1, e.trips)
	require.False(t, e.answered(begun))
	require.Equal(t, 1, e.free(later, 32))
	require.True(t, e.answered(later), "an answer shows that it is back, whatever it was")
	require.Zero(t, e.failures)
	require.Equal(t, 1, e.free(later, 32), "but proves nothing")
	require.False(t, e.proven)
}

// Of what was under way together, so much fails as is needed to leave it alone, and the
// rest says nothing more.
func TestEndpointTripsOnce(t *testing.T) {
	b := &Breaker{Failures: 5, Delay: 10 * time.Second, MaxDelay: time.Hour}
	e := endpoints{}.get("a", endpointStart)
	for i := range 64 {
		at := endpointStart.Add(time.Duration(i) * time.Millisecond)
		require.Equal(t, i == 4, e.failed(at, at, b))
	}
	require.Equal(t, 1, e.trips)
	late := e.until.Add(time.Second)
	require.False(t, e.failed(endpointStart, late, b), "not even when it may be back")
	require.Equal(t, 1, e.trips)
}

// Large bodies take no more than their part, but for one.
func TestEndpointBytes(t *testing.T) {
	now := endpointStart
	es := endpoints{}
	e := es.get("a", now)
	for range 40 {
		e.succeeded(now, 32)
	}
	require.Equal(t, 32, e.free(now, 32))
	e.began(now, 5<<20)
	require.Equal(t, 2, e.free(now, 32))
	e.began(now, 5<<20)
	e.began(now, 5<<20)
	require.Zero(t, e.free(now, 32))
	_, silent, bytes, _ := es.rooms(now.Add(2*time.Second), 32)
	require.Equal(t, 3, silent)
	require.Equal(t, int64(15<<20), bytes)
	for range 3 {
		e.ended(now, 5<<20)
	}
	e.began(now, 20<<20)
	require.Zero(t, e.free(now, 32), "one is always let through")
	e.ended(now, 20<<20)
	e.began(now, 1000)
	require.Equal(t, 31, e.free(now, 32))
}
