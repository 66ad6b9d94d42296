package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

const changed = `{"job_id":"1","state":"done","previous_state":"working","timestamp":"2026-11-24T12:00:00Z","model":"m","attempt":1,"sequence":3}`

// post makes a request that is signed with specSecret.
func post(t *testing.T, body string) *http.Request {
	t.Helper()
	s := newSender(t, webhook.SenderOptions{Secret: specSecret})
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header = s.Headers("evt_1", []byte(body))
	return r
}

func TestHandlerGivesTheEvent(t *testing.T) {
	var got []webhook.Received
	type key struct{}
	v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}})
	h := v.Handler(func(ctx context.Context, d webhook.Received) error {
		require.Equal(t, "of the request", ctx.Value(key{}))
		got = append(got, d)
		return nil
	})
	w := httptest.NewRecorder()
	before := time.Now().Truncate(time.Second)
	h.ServeHTTP(w, post(t, changed).WithContext(context.WithValue(t.Context(), key{}, "of the request")))
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Empty(t, w.Body.String())
	require.Len(t, got, 1)
	require.Equal(t, "evt_1", got[0].ID)
	require.Equal(t, changed, string(got[0].Body))
	require.WithinRange(t, got[0].Timestamp, before, time.Now())
	require.Equal(t, webhook.Event{
		JobID: "1", State: "done", PreviousState: "working", Model: "m", Attempt: 1, Sequence: 3,
		Timestamp: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}, got[0].Event)
}

func TestHandlerAnswers(t *testing.T) {
	broken := errors.New("the disk of db-7 is full")
	for name, c := range map[string]struct {
		change    func(r *http.Request)
		body      string
		maxBody   int64
		duplicate func(context.Context, string) (bool, error)
		next      error
		status    int
		calls     int
		text      string
	}{
		"handled":              {status: 204, calls: 1},
		"failed":               {next: broken, status: 500, calls: 1, text: "send it again"},
		"gone":                 {next: fmt.Errorf("%w: %w", webhook.ErrGone, broken), status: 410, calls: 1, text: "no more"},
		"duplicate":            {duplicate: func(context.Context, string) (bool, error) { return true, nil }, status: 204},
		"no duplicate":         {duplicate: func(context.Context, string) (bool, error) { return false, nil }, status: 204, calls: 1},
		"cannot tell":          {duplicate: func(context.Context, string) (bool, error) { return true, broken }, status: 500, text: "send it again"},
		"GET":                  {change: func(r *http.Request) { r.Method = http.MethodGet }, status: 405, text: "POST"},
		"HEAD":                 {change: func(r *http.Request) { r.Method = http.MethodHead }, status: 405, text: "POST"},
		"not signed":           {change: func(r *http.Request) { clear(r.Header) }, status: 401, text: "see that the sender has a secret"},
		"stale":                {change: func(r *http.Request) { r.Header.Set("webhook-timestamp", specTimestamp) }, status: 401, text: "clock"},
		"another body":         {change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(changed + " ")) }, status: 401, text: "same secret"},
		"as large as may be":   {maxBody: int64(len(changed)), status: 204, calls: 1},
		"too large":            {maxBody: int64(len(changed)) - 1, status: 413, text: "raise MaxBody"},
		"too large, unsaid":    {maxBody: int64(len(changed)) - 1, change: func(r *http.Request) { r.ContentLength = -1 }, status: 413, text: "raise MaxBody"},
		"breaks off":           {change: func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(broken)) }, status: 400, text: "cannot be read"},
		"empty":                {body: " ", status: 400, text: "not an event"},
		"not JSON":             {body: "hello", status: 400, text: "not an event"},
		"null":                 {body: "null", status: 400, text: "no job_id"},
		"array":                {body: "[]", status: 400, text: "not an event"},
		"another object":       {body: `{"type":"user.created"}`, status: 400, text: "no job_id"},
		"no state":             {body: `{"job_id":"1"}`, status: 400, text: "no state"},
		"two objects":          {body: changed + changed, status: 400, text: "not an event"},
		"members of the wrong": {body: `{"job_id":1,"state":"done"}`, status: 400, text: "not an event"},
		"members of tomorrow":  {body: `{"job_id":"1","state":"done","new":{}}`, status: 204, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			v := newVerifier(t, webhook.VerifierOptions{
				Secrets: []string{specSecret}, MaxBody: c.maxBody, Logger: l.logger(),
				Duplicate: func(ctx context.Context, id string) (bool, error) {
					require.Equal(t, "evt_1", id)
					if c.duplicate == nil {
						return false, nil
					}
					return c.duplicate(ctx, id)
				},
			})
			calls := 0
			h := v.Handler(func(context.Context, webhook.Received) error { calls++; return c.next })
			body := c.body
			if body == "" {
				body = changed
			}
			r := post(t, body)
			if c.change != nil {
				c.change(r)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.calls, calls)
			require.Contains(t, w.Body.String(), c.text)
			require.NotContains(t, w.Body.String(), "db-7", "it is for the log")
			require.Equal(t, c.status == http.StatusMethodNotAllowed, w.Header().Get("Allow") == http.MethodPost)
			if c.status == http.StatusNoContent {
				require.Empty(t, l.String())
				return
			}
			require.Contains(t, l.String(), fmt.Sprintf(`"status":%d`, c.status))
			require.Equal(t, c.status == http.StatusInternalServerError, strings.Contains(l.String(), "ERROR"))
			require.Equal(t, c.next != nil || name == "cannot tell" || name == "breaks off", strings.Contains(l.String(), "db-7"))
		})
	}
}

// Who cannot sign does not have a body read.
func TestHandlerReadsNothingUnsigned(t *testing.T) {
	v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}, Logger: (&logs{}).logger()})
	body := bytes.NewReader(make([]byte, 100))
	r := httptest.NewRequest(http.MethodPost, "/hook", body)
	w := httptest.NewRecorder()
	v.Handler(nil).ServeHTTP(w, r)
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Equal(t, 100, body.Len())
}

// A Sender and a Handler understand each other, over the wire.
func TestHandlerAndSender(t *testing.T) {
	for name, c := range map[string]struct {
		next   error
		result webhook.Result
	}{
		"handled": {nil, webhook.Delivered},
		"failed":  {io.ErrUnexpectedEOF, webhook.Retry},
		"gone":    {webhook.ErrGone, webhook.Stop},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{"old"}, Logger: (&logs{}).logger()})
			srv := httptest.NewServer(v.Handler(func(context.Context, webhook.Received) error { return c.next }))
			t.Cleanup(srv.Close)
			s := newSender(t, webhook.SenderOptions{Secret: "new", OldSecrets: []webhook.OldSecret{{Secret: "old"}}})
			m := message(srv.URL)
			m.Body = []byte(changed)
			require.Equal(t, c.result, s.Send(t.Context(), m).Result)
		})
	}
}
