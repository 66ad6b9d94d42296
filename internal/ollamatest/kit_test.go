package ollamatest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client speaks as it is, without what http.DefaultClient adds.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
}

// answer is what came of a request. err is that of reading the body.
type answer struct {
	status           int
	header           http.Header
	transferEncoding []string
	body             string
	err              error
}

func request(tb testing.TB, s *ollamatest.Server, method, path, body string, header ...string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, s.URL()+path, strings.NewReader(body))
	require.NoError(tb, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func send(tb testing.TB, r *http.Request) answer {
	tb.Helper()
	resp, err := client().Do(r)
	require.NoError(tb, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, resp.TransferEncoding, string(body), err}
}

func post(tb testing.TB, s *ollamatest.Server, path, body string) answer {
	tb.Helper()
	return send(tb, request(tb, s, http.MethodPost, path, body))
}

// goPost posts in the background.
func goPost(tb testing.TB, s *ollamatest.Server, path, body string) <-chan answer {
	tb.Helper()
	r := request(tb, s, http.MethodPost, path, body)
	out := make(chan answer, 1)
	go func() {
		defer close(out)
		resp, err := client().Do(r)
		if err != nil {
			out <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		out <- answer{resp.StatusCode, resp.Header, resp.TransferEncoding, string(b), err}
	}()
	return out
}

// wait waits until the double has seen what is wanted.
func wait(tb testing.TB, s *ollamatest.Server, wanted func(ollamatest.Stats) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	require.NoError(tb, s.Wait(ctx, wanted))
}

func lines(body string) []string {
	return strings.Split(strings.TrimSuffix(body, "\n"), "\n")
}
