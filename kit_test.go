package foreman_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/webhook"
)

var (
	loopback = webhook.GuardOptions{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	quiet    = slog.New(slog.DiscardHandler)
)

// newForeman makes a Foreman over a directory of the test's, unless the options
// name one, and closes it when the test ends.
func newForeman(tb testing.TB, b foreman.Backend, o foreman.Options) *foreman.Foreman {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	f, err := foreman.New(b, &o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, f.Close()) })
	return f
}

// start runs f until the returned function is called or the test ends.
func start(tb testing.TB, f *foreman.Foreman) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(tb, <-ran)
		})
	}
	tb.Cleanup(stop)
	return stop
}

func submit(tb testing.TB, f *foreman.Foreman, s foreman.Spec) ulid.ULID {
	tb.Helper()
	if s.Model == "" {
		s.Model = "m"
	}
	j, err := f.Submit(tb.Context(), s)
	require.NoError(tb, err)
	return j.ID
}

// await waits for the end of a job.
func await(tb testing.TB, f *foreman.Foreman, id ulid.ULID) *foreman.Job {
	tb.Helper()
	for _, err := range f.Watch(tb.Context(), id, 0) {
		require.NoError(tb, err)
	}
	return status(tb, f, id)
}

func status(tb testing.TB, f *foreman.Foreman, id ulid.ULID) *foreman.Job {
	tb.Helper()
	j, err := f.Status(tb.Context(), id)
	require.NoError(tb, err)
	return j
}

// states lists the changes of state of a job that has ended.
func states(tb testing.TB, f *foreman.Foreman, id ulid.ULID) []foreman.State {
	tb.Helper()
	var out []foreman.State
	for e, err := range f.Watch(tb.Context(), id, 0) {
		require.NoError(tb, err)
		if e.Type == foreman.StateEvent {
			require.EqualValues(tb, len(out)+1, e.Sequence, "numbered without gaps")
			out = append(out, e.State)
		}
	}
	return out
}

// receiver is a webhook endpoint that keeps what it was sent.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []webhook.Event
	news chan struct{}
}

func newReceiver(tb testing.TB, secret string) *receiver {
	r := &receiver{news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var e webhook.Event
		if err != nil || json.Unmarshal(body, &e) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if secret != "" && !webhook.VerifySignature(body, req.Header.Get("X-Foreman-Signature"), secret) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.mu.Lock()
		r.got = append(r.got, e)
		r.mu.Unlock()
		select {
		case r.news <- struct{}{}:
		default:
		}
	}))
	tb.Cleanup(r.Close)
	return r
}

// wait waits until n events have come, and returns them.
func (r *receiver) wait(tb testing.TB, n int) []webhook.Event {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		got := append([]webhook.Event(nil), r.got...)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-r.news:
		case <-ctx.Done():
			require.Failf(tb, "too few webhooks", "%d of %d", len(got), n)
		}
	}
}

// gate is a backend whose jobs wait to be let go.
type gate struct {
	began chan *foreman.Task
	end   chan error
}

func newGate() *gate {
	return &gate{began: make(chan *foreman.Task, 100), end: make(chan error, 100)}
}

func (g *gate) Run(ctx context.Context, t *foreman.Task) error {
	g.began <- t
	select {
	case err := <-g.end:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
