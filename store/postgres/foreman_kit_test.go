package postgres_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/webhook"
)

// The tests of whole Foremans over PostgreSQL are here, where the store can be given what
// its users cannot give it.

var loopback = webhook.GuardOptions{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// replica is one of the processes that share a queue.
type replica struct {
	*foreman.Foreman
	url  string // of its handler
	stop func() // ends Run, once
}

// newReplica makes a Foreman over a store, serves it on loopback, and runs it until the
// test ends.
func newReplica(tb testing.TB, s store.Store, b foreman.Backend, o foreman.Options) *replica {
	tb.Helper()
	o.Store, o.Dir = s, tb.TempDir()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Webhook.Guard = loopback
	f, err := foreman.New(b, &o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, f.Close()) })
	r := &replica{Foreman: f}
	r.start(tb)
	server := httptest.NewServer(f.Handler())
	tb.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// start runs it until stop is called or the test ends.
func (r *replica) start(tb testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(tb, <-ran)
	})
	tb.Cleanup(r.stop)
}

// submit submits a job of the model m.
func (r *replica) submit(tb testing.TB, s foreman.Spec) ulid.ULID {
	tb.Helper()
	if s.Model == "" {
		s.Model = "m"
	}
	j, err := r.Submit(tb.Context(), s)
	require.NoError(tb, err)
	return j.ID
}

// await waits for the end of a job, and returns it.
func (r *replica) await(tb testing.TB, id ulid.ULID) *foreman.Job {
	tb.Helper()
	for _, err := range r.Watch(tb.Context(), id, 0) {
		require.NoError(tb, err)
	}
	j, err := r.Status(tb.Context(), id)
	require.NoError(tb, err)
	return j
}

// changes are the changes of state of a job that has ended.
func (r *replica) changes(tb testing.TB, id ulid.ULID) (all []foreman.Event) {
	tb.Helper()
	for e, err := range r.Watch(tb.Context(), id, 0) {
		require.NoError(tb, err)
		if e.Type == foreman.StateEvent {
			require.EqualValues(tb, len(all)+1, e.Sequence)
			all = append(all, e)
		}
	}
	return all
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with headers, each in the form "Name: value".
func (r *replica) ask(ctx context.Context, method, path, body string, headers ...string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// client keeps no connections, so that none is left when the tests end.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// get is ask for what has to be there.
func (r *replica) get(tb testing.TB, path string, headers ...string) answer {
	tb.Helper()
	a, err := r.ask(tb.Context(), http.MethodGet, path, "", headers...)
	require.NoError(tb, err)
	return a
}
