package ollama_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func fixed() time.Time { return time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC) }

// rig is a model server, a Foreman in front of it that runs, and the synchronous
// surface.
type rig struct {
	model *ollamatest.Server
	f     *foreman.Foreman
	stop  func() // ends Run
	front *httptest.Server
}

// setUp is what a rig is made of. Nil members have their defaults.
type setUp struct {
	model   *ollamatest.Options
	backend *ollama.Options
	foreman *foreman.Options
	handler *ollama.HandlerOptions
}

func newRig(tb testing.TB, s setUp) *rig {
	tb.Helper()
	if s.model == nil {
		s.model = &ollamatest.Options{Now: fixed}
	}
	r := &rig{model: ollamatest.New(tb, s.model)}
	if s.backend == nil {
		s.backend = &ollama.Options{}
	}
	s.backend.URL = r.model.URL()
	b := newBackend(tb, s.backend)
	r.f, r.stop = newForeman(tb, b, s.foreman)
	r.front = httptest.NewServer(ollama.Handler(r.f, s.handler))
	tb.Cleanup(r.front.Close)
	return r
}

func newBackend(tb testing.TB, o *ollama.Options) *ollama.Backend {
	tb.Helper()
	o.Logger = quiet
	b, err := ollama.New(o)
	require.NoError(tb, err)
	return b
}

// newForeman runs a Foreman until the returned function is called or the test ends.
func newForeman(tb testing.TB, b foreman.Backend, o *foreman.Options) (*foreman.Foreman, func()) {
	tb.Helper()
	if o == nil {
		o = &foreman.Options{}
	}
	o.Dir, o.Logger = tb.TempDir(), quiet
	o.RetryDelay = time.Millisecond
	f, err := foreman.New(b, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, f.Close()) })
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(tb, <-ran)
	})
	tb.Cleanup(stop)
	return f, stop
}

func submit(tb testing.TB, f *foreman.Foreman, model, input string) ulid.ULID {
	tb.Helper()
	j, err := f.Submit(tb.Context(), foreman.Spec{Model: model, Input: json.RawMessage(input)})
	require.NoError(tb, err)
	return j.ID
}

// await waits for the end of a job.
func await(tb testing.TB, f *foreman.Foreman, id ulid.ULID) *foreman.Job {
	tb.Helper()
	j, _ := watch(tb, f, id, func() {})
	return j
}

// watch waits for the end of a job, and returns it with what it has written since
// begin, which is called once nothing more can be missed.
func watch(tb testing.TB, f *foreman.Foreman, id ulid.ULID, begin func()) (*foreman.Job, string) {
	tb.Helper()
	var output strings.Builder
	begin = sync.OnceFunc(begin)
	for e, err := range f.Watch(limited(tb), id, 0) {
		require.NoError(tb, err)
		begin()
		output.Write(e.Output)
	}
	return status(tb, f, id), output.String()
}

func status(tb testing.TB, f *foreman.Foreman, id ulid.ULID) *foreman.Job {
	tb.Helper()
	j, err := f.Status(tb.Context(), id)
	require.NoError(tb, err)
	return j
}

// limited is a context for waits that must not be for ever.
func limited(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

func wait(tb testing.TB, s *ollamatest.Server, wanted func(ollamatest.Stats) bool) {
	tb.Helper()
	require.NoError(tb, s.Wait(limited(tb), wanted))
}

// artifact reads the artifact of a job.
func artifact(tb testing.TB, f *foreman.Foreman, id ulid.ULID) string {
	tb.Helper()
	r, a, err := f.OpenArtifact(tb.Context(), id, "completion")
	require.NoError(tb, err)
	defer r.Close()
	require.Equal(tb, "application/json", a.ContentType)
	b, err := io.ReadAll(r)
	require.NoError(tb, err)
	return string(b)
}

// asked are the requests for a path, but for those by which Foreman has models loaded.
func asked(s *ollamatest.Server, path string) []ollamatest.Request {
	return slices.DeleteFunc(s.Requests(path), own)
}

// own reports whether a request is one of Foreman's own.
func own(r ollamatest.Request) bool { return r.Header.Get("User-Agent") == ollama.OwnAgent }

// answer is what came of a request. err is that of sending it or reading the body.
type answer struct {
	status           int
	header           http.Header
	transferEncoding []string
	body             string
	err              error
}

// call sends a request over a connection of its own, and adds nothing to it.
func call(ctx context.Context, method, url, body string, header ...string) answer {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Header.Set("User-Agent", "test")
	t := &http.Transport{DisableCompression: true}
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, resp.TransferEncoding, string(b), err}
}

// goCall calls in the background.
func goCall(ctx context.Context, method, url, body string, header ...string) <-chan answer {
	out := make(chan answer, 1)
	go func() { out <- call(ctx, method, url, body, header...) }()
	return out
}

func chat(model, text string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"` + text + `"}]}`
}
