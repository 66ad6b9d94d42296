package ollama_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman"
	"github.com/foreman-go/foreman/internal/ollamatest"
	"github.com/foreman-go/foreman/ollama"
)

// ofOllama are options of a double with models that behave well.
func ofOllama(o ollamatest.Options, models ...string) *ollamatest.Options {
	o.Models = map[string]ollamatest.Behavior{}
	for _, m := range models {
		o.Models[m] = ollamatest.Behavior{}
	}
	return &o
}

// told are the bodies of the requests of Foreman's own for a path.
func told(s *ollamatest.Server, path string) (out []string) {
	for _, r := range s.Requests(path) {
		if own(r) {
			out = append(out, string(r.Body))
		}
	}
	return out
}

func TestLoad(t *testing.T) {
	const bPlain = `{"model":"b"}`
	out := func(model string) string { return `{"model":"` + model + `:latest","keep_alive":0}` }
	for _, c := range []struct {
		name    string
		backend ollama.Options
		loaded  []string // by others, before
		before  string   // by Load, after that
		behind  []string // what others have generated then
		lane    string
		keep    []string
		want    []string // after that
		left    []string
	}{
		{name: "nothing is loaded", lane: "b", want: []string{bPlain}, left: []string{"b"}},
		{name: "others are", loaded: []string{"a", "c"}, lane: "b", want: []string{out("a"), out("c"), bPlain}, left: []string{"b"}},
		{name: "of other slots", loaded: []string{"a", "c"}, lane: "b", keep: []string{"c num_ctx=8192", "d"}, want: []string{out("a"), bPlain}, left: []string{"c", "b"}},
		{name: "itself", loaded: []string{"b"}, lane: "b", want: []string{bPlain}, left: []string{"b"}},
		{name: "itself, by Foreman", before: "b", lane: "b", left: []string{"b"}},
		{name: "itself, by Foreman with options", before: "b num_ctx=8192", lane: "b num_ctx=8192", left: []string{"b"}},
		{name: "itself, and others behind its back", before: "b", behind: []string{`{"model":"a"}`}, lane: "b", want: []string{out("a")}, left: []string{"b"}},
		{name: "others in its place", before: "b", behind: []string{`{"model":"b","keep_alive":0}`, `{"model":"a"}`}, lane: "b", want: []string{out("a"), bPlain}, left: []string{"b"}},
		{name: "itself with other options", before: "b num_ctx=8192", lane: "b", want: []string{out("b"), bPlain}, left: []string{"b"}},
		{name: "itself with other options, which another slot holds", before: "b", lane: "b num_ctx=8192", keep: []string{"b"}, want: []string{`{"model":"b","options":{"num_ctx":8192}}`}, left: []string{"b"}},
		{name: "with options", lane: "b num_ctx=8192 use_mmap=true", want: []string{`{"model":"b","options":{"num_ctx":8192,"use_mmap":true}}`}, left: []string{"b"}},
		{name: "for a while", backend: ollama.Options{KeepAlive: 90 * time.Second}, lane: "b", want: []string{`{"model":"b","keep_alive":"1m30s"}`}, left: []string{"b"}},
		{name: "for ever", backend: ollama.Options{KeepAlive: -1}, lane: "b", want: []string{`{"model":"b","keep_alive":-1}`}, left: []string{"b"}},
		{name: "there is no such model", loaded: []string{"a"}, lane: "x", left: []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ollamatest.New(t, ofOllama(ollamatest.Options{MaxLoaded: 3, Lingers: 3}, "a", "b", "c"))
			for _, m := range c.loaded {
				require.Equal(t, 200, call(t.Context(), "POST", s.URL()+"/api/generate", `{"model":"`+m+`"}`).status)
			}
			c.backend.URL = s.URL()
			b := newBackend(t, &c.backend)
			if c.before != "" {
				require.NoError(t, b.Load(limited(t), c.before, nil))
			}
			for _, body := range c.behind {
				require.Equal(t, 200, call(t.Context(), "POST", s.URL()+"/api/generate", body).status)
			}
			before := len(told(s, "/api/generate"))
			require.NoError(t, b.Load(limited(t), c.lane, c.keep))
			require.Equal(t, c.want, append([]string(nil), told(s, "/api/generate")[before:]...))
			left, err := b.Loaded(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.left, left)
		})
	}
}

// Slots can load at the same time; what one has loaded since the other was told what to
// keep is not to be unloaded by it.
func TestLoadsSideBySide(t *testing.T) {
	s := ollamatest.New(t, ofOllama(ollamatest.Options{MaxLoaded: 2}, "a", "b"))
	entered, other := make(chan struct{}), make(chan struct{})
	transport := &gate{next: &http.Transport{DisableKeepAlives: true}, path: "/api/ps", entered: entered, open: other}
	b := newBackend(t, &ollama.Options{URL: s.URL(), Transport: transport})
	first := make(chan error, 1)
	go func() { first <- b.Load(limited(t), "a", nil) }()
	<-entered
	require.NoError(t, b.Load(limited(t), "b", []string{"a"}))
	close(other)
	require.NoError(t, <-first)
	left, err := b.Loaded(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"b", "a"}, left)
	require.Zero(t, s.Stats().Unloads)
}

// gate holds up the first request for a path until it is open.
type gate struct {
	next          http.RoundTripper
	path          string
	entered, open chan struct{}
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == g.path {
		select {
		case <-g.entered:
		default:
			close(g.entered)
			<-g.open
		}
	}
	return g.next.RoundTrip(r)
}

func TestLoadThatFails(t *testing.T) {
	only := func(status int, body string) *ollamatest.Options {
		return &ollamatest.Options{Models: map[string]ollamatest.Behavior{"m": {Status: status, Body: body}}}
	}
	for _, c := range []struct {
		name string
		o    *ollamatest.Options
		want string // "" for none
	}{
		{"only embeds", only(400, `{"error":"\"m\" does not support generate"}`), ""},
		{"does not fit", only(500, `{"error":"model requires more system memory"}`), "cannot load m: model requires more system memory"},
		{"busy", only(503, `{"error":"server busy"}`), "server busy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ollamatest.New(t, c.o)
			b := newBackend(t, &ollama.Options{URL: s.URL()})
			err := b.Load(limited(t), "m", nil)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.False(t, unavailable(err))
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		err := newBackend(t, &ollama.Options{URL: freeAddr(t)}).Load(limited(t), "m", nil)
		require.ErrorContains(t, err, "is it running?")
		require.True(t, unavailable(err))
	})
	t.Run("no Ollama", func(t *testing.T) {
		s := ollamatest.New(t, nil)
		err := newBackend(t, &ollama.Options{URL: s.URL() + "/v2"}).Load(limited(t), "m", nil)
		require.ErrorContains(t, err, "404 page not found")
	})
}

func unavailable(err error) bool {
	f, ok := errors.AsType[*foreman.Failure](err)
	return ok && f.Type == foreman.BackendUnavailable
}

func TestLoadIsCalledOff(t *testing.T) {
	slow := &ollamatest.Options{Models: map[string]ollamatest.Behavior{"slow": {LoadDelay: time.Hour}, "b": {}}}
	t.Run("by the context", func(t *testing.T) {
		s := ollamatest.New(t, slow)
		b := newBackend(t, &ollama.Options{URL: s.URL()})
		ctx, cancel := context.WithCancelCause(limited(t))
		go func() {
			_ = s.Wait(ctx, func(s ollamatest.Stats) bool { return s.InFlight == 1 })
			cancel(errors.New("nobody waits any more"))
		}()
		require.ErrorContains(t, b.Load(ctx, "slow", nil), "nobody waits any more")
		wait(t, s, func(s ollamatest.Stats) bool { return s.Aborted == 1 && s.InFlight == 0 })
		require.NoError(t, b.Load(limited(t), "b", nil), "the load was given up")
	})
	t.Run("by the time", func(t *testing.T) {
		s := ollamatest.New(t, slow)
		err := newBackend(t, &ollama.Options{URL: s.URL(), LoadTimeout: 20 * time.Millisecond}).Load(limited(t), "slow", nil)
		require.ErrorContains(t, err, "not loaded in time: slow after 20ms")
		require.True(t, unavailable(err))
	})
}

// listed is a server that unloads nothing.
type listed struct {
	ps    []time.Time
	loads int
}

func (l *listed) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{"done":true}`
	switch b := readAll(r.Body); {
	case r.URL.Path == "/api/ps":
		l.ps = append(l.ps, time.Now())
		body = `{"models":[{"name":"stays:latest"}]}`
	case r.URL.Path == "/api/generate" && !strings.Contains(b, "keep_alive"):
		l.loads++
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, r.Context().Err()
}

func readAll(r io.Reader) string {
	b, _ := io.ReadAll(r)
	return string(b)
}

func TestUnloadHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &listed{}
		b := newBackend(t, &ollama.Options{Transport: s})
		begun := time.Now()
		require.NoError(t, b.Load(t.Context(), "m", nil), "loaded all the same")
		require.Equal(t, 1, s.loads)
		require.InDelta(t, 30, time.Since(begun).Seconds(), 1)
		require.Less(t, len(s.ps), 80)
		require.Less(t, s.ps[2].Sub(s.ps[1]), 10*time.Millisecond)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		require.ErrorIs(t, b.Load(ctx, "m", nil), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun), "at once")
	})
}
