package webhooktest

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Answer is how a [Receiver] answers one request. The zero value is OK.
type Answer struct {
	run   func(x *exchange) // nil for OK
	clock time.Duration     // that the receiver's is off
}

// exchange is a request that is being answered.
type exchange struct {
	w     http.ResponseWriter
	req   *http.Request
	err   error // of verifying
	ended <-chan struct{}
}

func (a Answer) give(x *exchange) {
	if a.run == nil {
		x.verdict()
		return
	}
	a.run(x)
}

// verdict answers as a receiver does that works.
func (x *exchange) verdict() {
	if x.err != nil {
		http.Error(x.w, x.err.Error(), http.StatusUnauthorized)
		return
	}
	x.w.WriteHeader(http.StatusOK)
}

// wait returns false if the sender leaves or the test ends before d has passed.
// A negative d never passes.
func (x *exchange) wait(d time.Duration) bool {
	var passed <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-passed:
		return true
	case <-x.req.Context().Done():
	case <-x.ended:
	}
	return false
}

// abort ends the connection in the midst of the answer.
func abort() { panic(http.ErrAbortHandler) }

// OK answers 200, or 401 to a request that did not verify.
func OK() Answer { return Answer{} }

// Status answers with a status, from 200 to 599, and an empty body, whether or not
// the request verified.
func Status(code int) Answer {
	return Answer{run: func(x *exchange) { x.w.WriteHeader(code) }}
}

// Gone answers 410: the sender should stop all deliveries of the job.
func Gone() Answer { return Status(http.StatusGone) }

// TooMany answers 429 with a Retry-After of d, in whole seconds, rounded up.
func TooMany(d time.Duration) Answer { return retryAfter(http.StatusTooManyRequests, d) }

// Unavailable answers 503 with a Retry-After of d, in whole seconds, rounded up.
func Unavailable(d time.Duration) Answer { return retryAfter(http.StatusServiceUnavailable, d) }

func retryAfter(code int, d time.Duration) Answer {
	seconds := int64((d + time.Second - 1) / time.Second)
	return Answer{run: func(x *exchange) {
		x.w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		x.w.WriteHeader(code)
	}}
}

// Redirect answers with a status from 300 to 399 and a Location. A path, such as
// "/moved", leads back to the Receiver, where a sender that follows it is seen.
func Redirect(code int, location string) Answer {
	return Answer{run: func(x *exchange) {
		x.w.Header().Set("Location", location)
		x.w.WriteHeader(code)
	}}
}

// SlowHeaders is OK after d.
func SlowHeaders(d time.Duration) Answer {
	return Answer{run: func(x *exchange) {
		if x.wait(d) {
			x.verdict()
		}
	}}
}

// SlowBody answers 200 at once and then sends n bytes, waiting for every before
// each.
func SlowBody(n int, every time.Duration) Answer {
	return Answer{run: func(x *exchange) {
		x.w.Header().Set("Content-Length", strconv.Itoa(n))
		x.w.WriteHeader(http.StatusOK)
		control := http.NewResponseController(x.w)
		for range n {
			if control.Flush() != nil || !x.wait(every) {
				abort()
			}
			if _, err := io.WriteString(x.w, "."); err != nil {
				abort()
			}
		}
	}}
}

// Hang takes the request and never answers. It ends when the sender leaves, or
// with the test.
func Hang() Answer {
	return Answer{run: func(x *exchange) {
		x.wait(-1)
		abort()
	}}
}

// GzipBomb answers 200 with a body that is about a thousandth of size bytes and
// unpacks to size bytes. It is there whether or not the sender accepts gzip.
func GzipBomb(size int64) Answer {
	return Answer{run: func(x *exchange) {
		x.w.Header().Set("Content-Encoding", "gzip")
		x.w.WriteHeader(http.StatusOK)
		z := gzip.NewWriter(x.w)
		if _, err := io.CopyN(z, zeros{}, size); err != nil {
			abort() // the sender has seen enough
		}
		_ = z.Close()
	}}
}

// zeros reads zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Reset takes the request and resets the connection, as a process does that is
// killed. It needs HTTP/1.1.
func Reset() Answer {
	return Answer{run: func(x *exchange) {
		conn, _, err := http.NewResponseController(x.w).Hijack()
		if err != nil {
			abort()
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}}
}

// Truncated answers 200 with a body that breaks off: 100 bytes are announced, 10
// come.
func Truncated() Answer {
	return Answer{run: func(x *exchange) {
		x.w.Header().Set("Content-Length", "100")
		x.w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(x.w, "truncated\n")
		_ = http.NewResponseController(x.w).Flush()
		abort()
	}}
}

// ClockOff is OK by a clock that is off by d: fast if d is positive. With a d
// beyond the tolerance it answers 401 to a request that is right.
func ClockOff(d time.Duration) Answer { return Answer{clock: d} }
