package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxErrorText bounds the text of [Outcome].Err in bytes. net/http quotes what
// a receiver sent in place of HTTP, however long.
const maxErrorText = 512

// Result is what an attempt means for its delivery.
type Result string

// The results of an attempt.
const (
	Delivered Result = "delivered" // the receiver has the event
	Retry     Result = "retry"     // a later attempt may succeed
	GiveUp    Result = "give_up"   // none can: the message cannot be sent
	Stop      Result = "stop"      // the receiver wants neither this nor what would follow (410)
)

// Fault says who has to do something about an attempt that failed.
type Fault string

// Who can be at fault.
const (
	FaultReceiver Fault = "receiver" // it answered so, or cannot be reached under its name and address
	FaultGuard    Fault = "guard"    // the [Guard], or the egress proxy with 403, refused the receiver: the operator can allow it
	FaultProxy    Fault = "proxy"    // the operator's egress proxy is out of order, or refuses us
	FaultSender   Fault = "sender"   // the attempt was called off, or the message cannot be sent
)

// Outcome is what came of one attempt.
type Outcome struct {
	Result Result
	// Fault is "" if Result is Delivered.
	Fault Fault
	// Phase is how far the attempt came; "" if it did not begin.
	Phase Phase
	// Address is what was connected to last, or tried: the receiver or, if there is
	// one, the proxy. It is not valid if no address was known yet.
	Address netip.AddrPort
	// Status is the HTTP status, or 0 if there was no answer.
	Status int
	// Response is how the body of the answer begins if Result is not Delivered, at
	// most 256 bytes, with a dot for each byte that is not text. Show it only to
	// whom the URL belongs: it is what stands behind that.
	Response string
	// Err is nil if Result is Delivered. Otherwise it says what went wrong in
	// at most 512 bytes, without the secret and without more of the URL than
	// its host. It wraps a [*GuardError] if the guard refused the address,
	// [context.DeadlineExceeded] if the time was up, and the cause of the
	// context if that ended first.
	Err error
	// Duration is how long the attempt took, with name resolution and body.
	Duration time.Duration
	// RetryAfter is how long a receiver that answered 429 or 503 asked to be
	// left alone, at most 24 hours; 0 if it did not.
	RetryAfter time.Duration
}

// judge says what the answer of a receiver means. Duration is left out.
func judge(status int, header http.Header, now time.Time) Outcome {
	out := Outcome{Status: status, Result: Retry}
	if status >= 200 && status <= 299 {
		out.Result = Delivered
		return out
	}
	advice := ""
	switch {
	case status >= 300 && status <= 399:
		advice = ": redirects are not followed, use the URL they lead to"
	case status == http.StatusGone:
		out.Result = Stop
		advice = ": the receiver wants no more"
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		out.RetryAfter = parseRetryAfter(header.Get("Retry-After"), now)
	}
	text := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	out.Err = fmt.Errorf("webhook: the receiver answered %s%s", text, advice)
	return out
}

// parseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3), which has
// seconds or a date. What it cannot read, and a date that has passed, is 0.
func parseRetryAfter(value string, now time.Time) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}
