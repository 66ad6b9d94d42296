package foreman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/store"
)

func TestProblemOf(t *testing.T) {
	secret := errors.New("open /srv/secret/foreman.db: input/output error")
	for _, tc := range []struct {
		name   string
		err    error
		status int
		code   Code
		detail string // "" for that of the table
		retry  int
	}{
		{"a code with words", fmt.Errorf("%w: priority must be small", ErrInvalid), 422, ErrInvalid, "priority must be small", 0},
		{"words for the caller", explain(ErrNotFound, "no %s", "x"), 404, ErrNotFound, "no x", 0},
		{"long words", explain(ErrInvalid, "%s", strings.Repeat("é", 1000)), 422, ErrInvalid, strings.Repeat("é", 512), 0},
		{"of the store", fromStore(store.ErrNotFound), 404, ErrNotFound, "", 0},
		{"a full store", fromStore(fmt.Errorf("%w: %w", store.ErrFull, secret)), 507, ErrFull, "", 0},
		{"a broken store", fromStore(secret), 503, ErrUnavailable, "", 5},
		{"a busy desk", fmt.Errorf("%w: 512 wait", ErrBusy), 503, ErrBusy, "", 1},
		{"a lost backend", fmt.Errorf("ready: %w: %w", ErrBackendDown, secret), 503, ErrBackendDown, "", 5},
		{"an end of the context", context.Canceled, 503, ErrUnavailable, "", 5},
		{"out of time", fmt.Errorf("job: %w", context.DeadlineExceeded), 503, ErrUnavailable, "", 5},
		{"a backend that is out of time", fmt.Errorf("ready: %w: %w", ErrBackendDown, context.DeadlineExceeded), 503, ErrBackendDown, "", 5},
		{"a code that is not for callers", fmt.Errorf("%w: %w", errLeaseLost, secret), 500, errInternal, "", 0},
		{"anything else", secret, 500, errInternal, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, retry := problemOf(tc.err)
			require.Equal(t, tc.code, p.Type)
			require.Equal(t, tc.status, p.Status)
			require.Equal(t, answers[tc.code].title, p.Title)
			if tc.detail == "" {
				tc.detail = answers[tc.code].detail
			}
			require.Equal(t, tc.detail, p.Detail)
			require.Equal(t, tc.retry, retry)
			require.NotContains(t, p.Detail, "secret")
		})
	}
}

func TestEveryAnswerIsAnError(t *testing.T) {
	for code, a := range answers {
		require.GreaterOrEqual(t, a.status, 400, code)
		require.NotEmpty(t, http.StatusText(a.status), code)
		require.NotEmpty(t, a.title, code)
		if a.status >= 500 {
			require.NotEmpty(t, a.detail, "%s: what is inside is not told", code)
		}
	}
}

// When as many as there may be watch jobs, nobody waits or streams any more, and
// everything else goes on.
func TestNoMoreWatchers(t *testing.T) {
	f, err := New(BackendFunc(func(context.Context, *Task) error { return nil }), &Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	for range maxWatchers {
		id := ulid.Make()
		w := f.hub.watch(id, true)
		defer f.hub.leave(id, w)
	}
	do := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Prefer", "wait=60")
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		return w
	}
	w := do("POST", "/jobs", `{"model":"m"}`)
	require.Equal(t, http.StatusAccepted, w.Code, "at once")
	require.Empty(t, w.Header().Get("Preference-Applied"))
	self := w.Header().Get("Location")
	require.Equal(t, http.StatusOK, do("GET", self, "").Code)
	w = do("GET", self+"/events", "")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), `"type":"busy"`)
}
