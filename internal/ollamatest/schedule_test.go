package ollamatest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

func ask(model string) string { return `{"model":"` + model + `","prompt":"a b c"}` }

func models(b ollamatest.Behavior, names ...string) map[string]ollamatest.Behavior {
	m := map[string]ollamatest.Behavior{}
	for _, n := range names {
		m[n] = b
	}
	return m
}

func loaded(t *testing.T, s *ollamatest.Server) string {
	return send(t, request(t, s, "GET", "/api/ps", "")).body
}

func TestOneModelAtATime(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Models: models(ollamatest.Behavior{}, "a", "b")})
	for _, m := range []string{"a", "a:latest", "b", "b", "a"} {
		require.Equal(t, 200, post(t, s, "/api/generate", ask(m)).status)
	}
	require.Equal(t, 3, s.Stats().Loads)
	require.Equal(t, 1, s.Stats().MaxInFlight)
}

func TestMaxQueue(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{MaxQueue: 1, Models: models(ollamatest.Behavior{Step: step}, "a", "b")})
	first := goPost(t, s, "/api/generate", ask("a"))
	step <- struct{}{} // a is loaded and generates
	all := []<-chan answer{first}
	for range 5 { // the limit does not apply to the model that is loaded
		all = append(all, goPost(t, s, "/api/generate", ask("a")))
	}
	wait(t, s, func(st ollamatest.Stats) bool { return st.InFlight == 6 })

	var others []<-chan answer
	for range 10 {
		others = append(others, goPost(t, s, "/api/generate", ask("b")))
	}
	wait(t, s, func(st ollamatest.Stats) bool { return st.Requests == 16 && st.InFlight == 6+2 })
	close(step)
	for _, c := range all {
		require.Equal(t, 200, (<-c).status)
	}
	ok := 0
	for _, c := range others {
		a := <-c
		if a.status == 200 {
			ok++
			continue
		}
		require.Equal(t, 503, a.status)
		require.Equal(t, `{"error":"server busy, please try again.  maximum pending requests exceeded"}`, a.body)
		require.Empty(t, a.header.Get("Retry-After"))
	}
	require.Equal(t, 2, ok)
}

func TestLoadedModelStarvesOthers(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{Models: models(ollamatest.Behavior{Step: step}, "a", "b")})
	a := goPost(t, s, "/api/generate", ask("a"))
	step <- struct{}{}
	b := goPost(t, s, "/api/generate", ask("b"))
	wait(t, s, func(st ollamatest.Stats) bool { return st.InFlight == 2 })
	for range 3 {
		next := goPost(t, s, "/api/generate", ask("a"))
		wait(t, s, func(st ollamatest.Stats) bool { return st.Admitted == 2 })
		for range 3 { // two are left of the one before, and one is the first of the next
			step <- struct{}{}
		}
		require.Equal(t, 200, (<-a).status)
		a = next
		wait(t, s, func(st ollamatest.Stats) bool { return st.InFlight == 2 })
	}
	require.Equal(t, 1, s.Stats().Loads)
	close(step)
	require.Equal(t, 200, (<-a).status)
	require.Equal(t, 200, (<-b).status)
	require.Equal(t, 2, s.Stats().Loads)
}

func TestHangUp(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{Models: map[string]ollamatest.Behavior{
		"a": {Step: step}, "b": {}, "slow": {LoadDelay: time.Hour},
	}})
	hangUp := func(path, body string, before func()) {
		t.Helper()
		aborted := s.Stats().Aborted
		ctx, cancel := context.WithCancel(t.Context())
		r := request(t, s, "POST", path, body).WithContext(ctx)
		gone := make(chan error, 1)
		go func() {
			resp, err := client().Do(r)
			if err == nil {
				resp.Body.Close()
			}
			gone <- err
		}()
		before()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		wait(t, s, func(st ollamatest.Stats) bool { return st.Aborted == aborted+1 && st.InFlight == 0 })
	}
	inFlight := func() { wait(t, s, func(st ollamatest.Stats) bool { return st.InFlight == 1 }) }
	hangUp("/api/generate", ask("a"), func() { step <- struct{}{} })
	hangUp("/api/generate", `{"model":"a","prompt":"a b","stream":false}`, func() { step <- struct{}{} })
	hangUp("/api/embed", `{"model":"a","input":"a b"}`, inFlight)
	hangUp("/api/generate", ask("slow"), inFlight)
	require.Equal(t, 200, post(t, s, "/api/generate", ask("b")).status, "the load was given up")
}

func TestKeepAlive(t *testing.T) {
	now := fixed()
	s := ollamatest.New(t, &ollamatest.Options{Now: func() time.Time { return now }, Models: models(ollamatest.Behavior{}, "a", "b")})
	require.Contains(t, post(t, s, "/api/chat", `{"model":"a"}`).body, `"done":true,"done_reason":"load"}`)
	require.Contains(t, loaded(t, s), `"name":"a:latest"`)
	require.Contains(t, loaded(t, s), `"expires_at":"2026-11-23T01:07:03Z"`)

	a := post(t, s, "/api/generate", `{"model":"b","keep_alive":"2s"}`)
	require.Equal(t, "application/json; charset=utf-8", a.header.Get("Content-Type"), "though stream is not false")
	require.Contains(t, loaded(t, s), `"name":"b:latest"`)
	now = now.Add(2 * time.Second)
	require.Equal(t, `{"models":[]}`, loaded(t, s))

	post(t, s, "/api/generate", `{"model":"a","keep_alive":-1}`)
	now = now.Add(1000 * time.Hour)
	require.Contains(t, loaded(t, s), `"expires_at":"2319-`)
	require.Contains(t, post(t, s, "/api/chat", `{"model":"a","keep_alive":0}`).body, `"done_reason":"unload"`)
	require.Equal(t, `{"models":[]}`, loaded(t, s))
	require.Contains(t, post(t, s, "/api/chat", `{"model":"b","keep_alive":0}`).body, `"done_reason":"unload"`, "though it is not loaded")

	require.Len(t, lines(post(t, s, "/api/generate", strings.Replace(ask("a"), "{", `{"keep_alive":0,`, 1)).body), 4)
	require.Equal(t, `{"models":[]}`, loaded(t, s), "answered, then unloaded")
}

func TestHeadersComeWithTheFirstToken(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{Models: models(ollamatest.Behavior{Step: step}, "a")})
	headers := make(chan struct{})
	r := request(t, s, "POST", "/api/generate", ask("a"))
	done := make(chan error, 1)
	go func() {
		resp, err := client().Do(r)
		close(headers)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	wait(t, s, func(st ollamatest.Stats) bool { return st.Loads == 1 })
	select {
	case <-headers:
		require.Fail(t, "headers before the first token")
	default:
	}
	step <- struct{}{}
	<-headers
	require.NoError(t, <-done)
}
