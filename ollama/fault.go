package ollama

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/foreman-go/foreman"
)

// maxErrorBody bounds what is read of the body of an error.
const maxErrorBody = 64 << 10

// sendingFailed says what is to be made of a request that got no answer. Only when
// there was no connection at all is it certain that the job is not to blame.
func (b *Backend) sendingFailed(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return foreman.Unavailable(b.unreachable(err))
	}
	return incomplete("the model server ended the connection before it answered: %w", err)
}

func incomplete(format string, args ...any) error {
	return &foreman.Failure{Type: foreman.Incomplete, Err: fmt.Errorf(format, args...)}
}

// tooLong is final: the answer would be no shorter another time.
func tooLong(format string, args ...any) error {
	return &foreman.Failure{Type: foreman.BackendError, Err: fmt.Errorf(format, args...), Final: true}
}

// saidSo is an error that Ollama reports itself, in its own words.
func saidSo(text string) error {
	return &foreman.Failure{Type: foreman.BackendError, Err: errors.New(text)}
}

// refused says what is to be made of an answer that is not 200. It reads the body.
func refused(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came of it is better than nothing
	err := errors.New(errorText(resp, body))
	switch code := resp.StatusCode; {
	case code >= 500:
		return foreman.RetryAfter(err, retryAfter(resp.Header.Get("Retry-After")))
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return foreman.RetryAfter(err, retryAfter(resp.Header.Get("Retry-After")))
	case code >= 400:
		return foreman.Permanent(err)
	}
	return foreman.RetryAfter(fmt.Errorf("%w: is the URL of the model server right?", err), 0)
}

// errorText is what the body of an error says, or its status if it says nothing.
func errorText(resp *http.Response, body []byte) string {
	if said := said(body); said != "" {
		return said
	}
	if text := strings.TrimSpace(string(body)); text != "" && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return text
	}
	return "the model server answered " + resp.Status
}

// said is the message of an error: {"error": "..."} as Ollama has it, or
// {"error": {"message": "..."}} as on /v1.
func said(body []byte) string {
	var e struct{ Error json.RawMessage }
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	var text string
	if json.Unmarshal(e.Error, &text) == nil {
		return text
	}
	var o struct{ Message string }
	if json.Unmarshal(e.Error, &o) != nil {
		return ""
	}
	return o.Message
}

// retryAfter reads the seconds of a Retry-After header (RFC 9110, section 10.2.3),
// which Ollama does not send, but what stands in front of it may.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
