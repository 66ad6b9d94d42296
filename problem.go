package foreman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
)

// The types of problems that only the handler has.
const (
	errInternal Code = "internal"              // nobody but its log entry explains it: 500
	errRange    Code = "range_not_satisfiable" // of an artifact: 416
	errBrokeOff Code = "broke_off"             // too late to answer with it: a kind of log entry alone
)

// answer is how errors of one code are answered.
type answer struct {
	status     int
	title      string
	detail     string // in place of the error's text, which tells of what is inside
	retryAfter int    // seconds; 0 for nothing said
}

// answers is the one table from codes to HTTP. It is never written to.
var answers = map[Code]answer{
	ErrMalformed:      {status: http.StatusBadRequest, title: "The request cannot be read"},
	ErrInvalid:        {status: http.StatusUnprocessableEntity, title: "The job cannot be accepted"},
	ErrWebhookRefused: {status: http.StatusUnprocessableEntity, title: "The webhook URL is not allowed"},
	ErrKeyReused: {
		status: http.StatusUnprocessableEntity, title: "The idempotency key was used for another request",
		detail: "repeat the first request byte by byte to get its job, or use a new Idempotency-Key",
	},
	ErrNotFound: {
		status: http.StatusNotFound, title: "Not found",
		detail: "there is no such job: it never was, or it has been removed; GET /jobs lists those there are",
	},
	ErrForbidden: {status: http.StatusForbidden, title: "Not allowed"},
	ErrMethod:    {status: http.StatusMethodNotAllowed, title: "Method not allowed"},
	ErrState:     {status: http.StatusConflict, title: "The state of the job does not allow it"},
	ErrGone:      {status: http.StatusGone, title: "The artifact has been removed"},
	errRange:     {status: http.StatusRequestedRangeNotSatisfiable, title: "The range cannot be"},
	ErrTooLarge:  {status: http.StatusRequestEntityTooLarge, title: "Too large"},
	ErrBusy: {
		status: http.StatusServiceUnavailable, title: "Busy",
		detail: "too many callers wait already: try again in a moment", retryAfter: 1,
	},
	ErrUnavailable: {
		status: http.StatusServiceUnavailable, title: "Unavailable",
		detail: "the store of jobs or that of artifacts cannot be used now, or the server is shutting down: try again in a moment", retryAfter: 5,
	},
	ErrBackendDown: {
		status: http.StatusServiceUnavailable, title: "The backend cannot be reached",
		detail: "jobs are accepted, and wait until the backend is back", retryAfter: 5,
	},
	ErrFull: {
		status: http.StatusInsufficientStorage, title: "The job store is full",
		detail: "delete jobs that have ended, or wait until they expire, and try again",
	},
	errInternal: {
		status: http.StatusInternalServerError, title: "Internal error",
		detail: "something is wrong with the server; its log says what",
	},
}

// explained is an error whose text was written for the caller of the handler.
type explained struct {
	code   Code
	detail string
}

func explain(code Code, format string, args ...any) error {
	return &explained{code: code, detail: fmt.Sprintf(format, args...)}
}

func (e *explained) Error() string { return e.detail }
func (e *explained) Unwrap() error { return e.code }

// problem is a problem document (RFC 9457). Its type is a relative reference, the
// same word wherever the handler is mounted.
type problem struct {
	Type   Code   `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// fail answers a request with an error. What a 5xx does not tell is logged, each kind
// once a second at most.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, retryAfter := problemOf(err)
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		h.logFailure(r, p.Type, err)
	}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.Header().Set("Cache-Control", "no-store")
	body, err := marshal(p)
	if err != nil {
		panic(err) // strings and a number always encode
	}
	send(w, p.Status, "application/problem+json", body)
}

func (h *handler) logFailure(r *http.Request, kind Code, err error) {
	left, ok := 0, true
	level := slog.LevelError
	if kind != errInternal { // of which each is a fault of its own
		level = slog.LevelWarn
		left, ok = h.scarce.pass(kind)
	}
	if !ok {
		return
	}
	args := []any{"method", r.Method, "route", r.Pattern, "error", err}
	if left > 0 {
		args = append(args, "others", left)
	}
	h.f.o.Logger.Log(r.Context(), level, "a request failed", args...)
}

func problemOf(err error) (p problem, retryAfter int) {
	code, ok := errors.AsType[Code](err)
	if !ok && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		code = ErrUnavailable // if anybody still listens, it is the server that ends
	}
	a, known := answers[code]
	if !known {
		code, a = errInternal, answers[errInternal]
	}
	const most = 1024
	detail := a.detail
	if e, ok := errors.AsType[*explained](err); ok {
		detail = e.detail
	} else if detail == "" {
		detail = strings.TrimPrefix(err.Error(), string(code)+": ")
	}
	return problem{Type: code, Title: a.title, Status: a.status, Detail: clip(detail, most)}, a.retryAfter
}
