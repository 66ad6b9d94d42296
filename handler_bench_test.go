package foreman_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/bench"
)

// BenchmarkPostJobs posts jobs of 1 KiB over loopback, beside a handler that reads the
// same body and answers 202 with as many bytes and nothing behind it: what HTTP costs
// here, with its client in the same process.
func BenchmarkPostJobs(b *testing.B) {
	body := `{"model":"m","input":` + string(oneKiB) + `}`
	for _, n := range callers {
		b.Run(fmt.Sprintf("foreman/callers=%d", n), func(b *testing.B) {
			f := newForeman(b, doNothing, foreman.Options{})
			postAll(b, n, f.Handler(), body)
		})
		b.Run(fmt.Sprintf("bare/callers=%d", n), func(b *testing.B) {
			answer := []byte(strings.Repeat("x", 600))
			postAll(b, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusAccepted)
				_, _ = w.Write(answer)
			}), body)
		})
	}
	b.Run("foreman/recorder", func(b *testing.B) { // without the network, and without its client
		h := newForeman(b, doNothing, foreman.Options{}).Handler()
		b.ReportAllocs()
		bench.Parallel(b, 256, func() error {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), "POST", "/jobs", strings.NewReader(body)))
			if w.Code != http.StatusAccepted {
				return fmt.Errorf("status %d: %s", w.Code, w.Body)
			}
			return nil
		})
	})
}

func postAll(b *testing.B, callers int, h http.Handler, body string) {
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	t := &http.Transport{MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers}
	b.Cleanup(t.CloseIdleConnections)
	c := &http.Client{Transport: t}
	b.ReportAllocs()
	bench.Parallel(b, callers, func() error {
		req, err := http.NewRequestWithContext(b.Context(), "POST", s.URL+"/jobs", strings.NewReader(body))
		require.NoError(b, err)
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusAccepted {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return err
	})
}
