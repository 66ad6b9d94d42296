package webhook

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// sendError is an error of the transport in words that anybody may be told: without the
// addresses of this machine, of its resolver and of the proxy, and without what the
// receiver has sent.
type sendError struct {
	text string
	err  error
}

func (e *sendError) Error() string { return e.text }
func (e *sendError) Unwrap() error { return e.err }

// told is what is said of an error of the transport and, if that came from an answer that
// is not HTTP, how that began: net/http quotes it.
func told(err error) (answer string, said error) {
	text := err.Error()
	if isBrokenAnswer(err, text) {
		if q := strings.IndexByte(text, '"'); q >= 0 {
			if quoted, err := strconv.QuotedPrefix(text[q:]); err == nil {
				answer, _ = strconv.Unquote(quoted)
			}
		}
		answer = printable([]byte(answer[:min(len(answer), maxResponseText)]))
		return answer, &sendError{"webhook: the answer is not HTTP as it should be", errors.New("not HTTP")}
	}
	text = "webhook: " + cause(err)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText-len("...")], "") + "..."
	}
	return "", &sendError{text, err}
}

// isBrokenAnswer reports whether net/http could not read what it was answered, and not
// because of the network.
func isBrokenAnswer(err error, text string) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok || strings.HasSuffix(text, "EOF") {
		return false
	}
	return strings.Contains(text, "transport connection broken") || strings.Contains(text, "malformed HTTP")
}

// cause is the innermost that there is to say of an error of the network: the addresses
// that the outer ones have are told elsewhere, or nobody's business.
func cause(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		why := "the resolver failed"
		switch {
		case e.IsNotFound:
			why = "no such host"
		case e.IsTimeout:
			why = "no answer in time"
		}
		return "the name " + strconv.Quote(e.Name) + " cannot be looked up: " + why
	}
	if e, ok := errors.AsType[*GuardError](err); ok {
		return strings.TrimPrefix(e.Error(), "webhook: ")
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		op := e.Op
		for {
			inner, ok := errors.AsType[*net.OpError](e.Err)
			if !ok {
				break
			}
			e = inner
		}
		return op + ": " + e.Err.Error()
	}
	return err.Error()
}
