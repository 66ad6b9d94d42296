package ollama_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// BenchmarkGateway compares /api/chat through the gateway with the same asked of the
// model server itself, whose every token takes a millisecond: an answer of one token in
// one piece, and one of 64 tokens, of which the time is told per token; by one caller
// and by 16 at once. ttfb-ns is the time until the first byte of the body.
func BenchmarkGateway(b *testing.B) {
	for _, callers := range []int{1, 16} {
		model := ollamatest.New(b, &ollamatest.Options{
			Parallel: callers,
			Models:   map[string]ollamatest.Behavior{"llama3": {TokenDelay: time.Millisecond}},
		})
		backend := newBackend(b, &ollama.Options{URL: model.URL()})
		f, _ := newForeman(b, backend, &foreman.Options{PerSlot: callers})
		front := httptest.NewServer(ollama.Handler(f, nil))
		b.Cleanup(front.Close)
		for _, kind := range []struct {
			name   string
			tokens int
			body   string
		}{
			{"whole", 1, strings.Replace(chat("llama3", "a"), "{", `{"stream":false,`, 1)},
			{"token", 64, chat("llama3", strings.Repeat("a ", 64))},
		} {
			for _, way := range []struct{ name, url string }{{"direct", model.URL()}, {"through", front.URL}} {
				b.Run(fmt.Sprintf("%s/callers=%d/%s", kind.name, callers, way.name), func(b *testing.B) {
					ask(b, way.url+"/api/chat", kind.body, callers, kind.tokens)
				})
			}
		}
	}
}

// ask has callers ask until b.N tokens have come.
func ask(b *testing.B, url, body string, callers, tokens int) {
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	left, first, asked := atomic.Int64{}, atomic.Int64{}, atomic.Int64{}
	one := func() error {
		begun := time.Now()
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
			return err
		}
		first.Add(int64(time.Since(begun)))
		asked.Add(1)
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	require.NoError(b, one()) // loads the model
	first.Store(0)
	asked.Store(0)
	left.Store(int64(b.N))
	errs := make(chan error, callers)
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		go func() {
			for left.Add(-int64(tokens)) > -int64(tokens) {
				if err := one(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		require.NoError(b, <-errs)
	}
	b.ReportMetric(float64(first.Load())/float64(max(asked.Load(), 1)), "ttfb-ns")
}

// endless answers with so many lines.
type endless struct{ lines int }

func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Request: r,
		Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Body: &lines{left: e.lines},
	}, nil
}

type lines struct{ left int }

func (l *lines) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	l.left--
	return copy(p, `{"message":{"content":"a"}}`+"\n"), nil
}

func (l *lines) Close() error { return nil }

// sink takes everything.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) Flush()                           {}
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// What a stream costs the gateway in memory does not depend on how long it is.
func TestStreamsTakeNoMemory(t *testing.T) {
	allocations := func(n int) float64 {
		f, _ := newForeman(t, onlyCalls{newBackend(t, &ollama.Options{Transport: &endless{n}})}, nil)
		h := ollama.Handler(f, nil)
		return testing.AllocsPerRun(20, func() {
			h.ServeHTTP(&sink{http.Header{}}, httptest.NewRequest(http.MethodPost, "/api/chat", strings.NewReader(chat("m", "a"))))
		})
	}
	few, many := allocations(10), allocations(10_000)
	require.Less(t, many, few+100, "10,000 lines and 10")
}
