package ollama_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/ollama"
)

// lister is a server that lists its models, without a network.
type lister struct {
	mu    sync.Mutex
	body  string
	err   error
	asked int
}

func (l *lister) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.asked++
	return &http.Response{StatusCode: 200, Request: r, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(l.body))}, nil
}

func (l *lister) say(body string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body, l.err = body, err
}

// twoPools are those of two servers, of which the second is never reached.
func twoPools(t *testing.T, l *lister, log *slog.Logger) foreman.Pools {
	t.Helper()
	var servers []*ollama.Backend
	for url, rt := range map[string]http.RoundTripper{"first": l, "second": &lister{err: &net.OpError{Op: "dial", Err: io.EOF}}} {
		b, err := ollama.New(&ollama.Options{URL: url, Transport: rt, Logger: log})
		require.NoError(t, err)
		servers = append(servers, b)
	}
	pools := ollama.Pools(servers...)
	if !strings.Contains(pools[0].Name, "first") {
		pools[0], pools[1] = pools[1], pools[0]
	}
	return pools
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{body: `{"models":[{"name":"a:latest"}]}`}
		var said bytes.Buffer
		pools := twoPools(t, l, slog.New(slog.NewTextHandler(&said, nil)))
		require.True(t, pools[0].Serves("a"), "nobody knows yet")
		require.True(t, pools[1].Serves("a"))

		ctx, cancel := context.WithCancel(t.Context())
		changes := 0
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			pools[0].Backend.(foreman.Follower).Follow(ctx, func() { changes++ })
		}()
		pass := func() {
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		synctest.Wait()
		require.Equal(t, 1, changes)
		require.False(t, pools[1].Serves("a"))
		require.False(t, pools[0].Serves("b"), "the other may have it")

		pass()
		require.Equal(t, 1, changes, "nothing is new")
		l.say(`{"models":[{"name":"b:latest"}]}`, nil)
		pass()
		require.Equal(t, 2, changes)
		require.True(t, pools[0].Serves("b"))
		require.False(t, pools[0].Serves("a"))
		require.Empty(t, said.String())

		for _, fault := range []struct {
			body string
			err  error
		}{{"starting", nil}, {"", errors.New("EOF")}, {"", &net.OpError{Op: "dial", Err: io.EOF}}} {
			l.say(fault.body, fault.err)
			pass()
			require.Equal(t, 2, changes)
			require.True(t, pools[0].Serves("b"), "what it had last counts")
		}
		require.Equal(t, 1, strings.Count(said.String(), "does not list its models"), "it is said once")
		require.Contains(t, said.String(), "those that it listed last count")
		cancel()
		<-followed
	})
}

// Models that nobody has do not have the servers asked again and again.
func TestUnknownModelsAreAskedForNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{body: `{"models":[]}`}
		b := twoPools(t, l, quiet)[0].Backend.(*ollama.Backend)
		for range 10 {
			require.ErrorContains(t, b.Load(t.Context(), "none", nil), "may be on another server")
		}
		require.Equal(t, 1, l.asked)
		time.Sleep(time.Second)
		err := b.Load(t.Context(), "none", nil)
		f, ok := errors.AsType[*foreman.Failure](err)
		require.True(t, ok)
		require.Equal(t, foreman.BackendUnavailable, f.Type)
		require.Equal(t, 2, l.asked)
	})
}
