package ollamatest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/ollamatest"
)

func TestReload(t *testing.T) {
	for options, loads := range map[string]int{
		`"num_ctx":2048`: 2, `"num_batch":8`: 2, `"num_gpu":1`: 2, `"main_gpu":1`: 2, `"use_mmap":false`: 2, `"num_thread":1`: 2,
		`"temperature":1,"seed":1,"top_k":1,"num_keep":1`: 1, `"num_ctx":4096`: 1, `"num_gpu":-1`: 1, ``: 1,
	} {
		s := ollamatest.New(t, nil)
		require.Equal(t, 200, post(t, s, "/api/generate", ask("llama3")).status)
		require.Equal(t, 200, post(t, s, "/api/generate", `{"model":"llama3","prompt":"a","options":{`+options+`}}`).status)
		require.Equal(t, loads, s.Stats().Of("llama3").Loads, options)
		require.Equal(t, loads-1, s.Stats().Unloads, options)
	}
	s := ollamatest.New(t, nil)
	post(t, s, "/api/generate", `{"model":"llama3","options":{"num_ctx":8192,"num_gpu":1}}`)
	require.Contains(t, loaded(t, s), `"context_length":8192}`)
	post(t, s, "/api/generate", `{"model":"llama3","options":{"num_ctx":8192}}`)
	require.Equal(t, 1, s.Stats().Loads, "num_gpu is left to Ollama, which leaves it as it is")
	post(t, s, "/v1/chat/completions", openAIWhole)
	require.Equal(t, 2, s.Stats().Loads, "there, no num_ctx can be asked for")
}

func TestSeveralModels(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{MaxLoaded: 3, Models: models(ollamatest.Behavior{}, "a", "b", "c", "d")})
	for _, m := range []string{"a", "b", "c", "a", "b", "c"} {
		require.Equal(t, 200, post(t, s, "/api/generate", ask(m)).status)
	}
	require.Equal(t, 3, s.Stats().Loads)
	require.Zero(t, s.Stats().Unloads)
	require.Equal(t, 200, post(t, s, "/api/generate", ask("d")).status)
	require.Equal(t, 4, s.Stats().Loads)
	require.Equal(t, 1, s.Stats().Unloads)
}

func TestParallel(t *testing.T) {
	for parallel, together := range map[int]bool{1: false, 2: true} {
		steps := map[string]chan struct{}{ask("a"): make(chan struct{}), ask("a:latest"): make(chan struct{})}
		s := ollamatest.New(t, &ollamatest.Options{
			Parallel: parallel, Models: models(ollamatest.Behavior{}, "a"),
			Hook: func(r ollamatest.Request, b *ollamatest.Behavior) { b.Step = steps[string(r.Body)] },
		})
		one := goPost(t, s, "/api/generate", ask("a"))
		steps[ask("a")] <- struct{}{}
		two := goPost(t, s, "/api/generate", ask("a:latest"))
		wait(t, s, func(st ollamatest.Stats) bool { return st.Admitted == 2 })
		if together {
			close(steps[ask("a:latest")])
			require.Equal(t, 200, (<-two).status, "while the first one is not done")
			close(steps[ask("a")])
			require.Equal(t, 200, (<-one).status)
			continue
		}
		select {
		case steps[ask("a:latest")] <- struct{}{}:
			require.Fail(t, "generates while another does")
		default:
		}
		close(steps[ask("a")])
		require.Equal(t, 200, (<-one).status)
		close(steps[ask("a:latest")])
		require.Equal(t, 200, (<-two).status)
		require.Equal(t, 1, s.Stats().Loads)
		require.Equal(t, 2, s.Stats().Of("a").MaxInFlight)
	}
}

func TestLoadTime(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Models: models(ollamatest.Behavior{LoadDelay: 20 * time.Millisecond}, "a", "b")})
	took := func(model string) time.Duration {
		begun := time.Now()
		require.Equal(t, 200, post(t, s, "/api/generate", ask(model)).status)
		return time.Since(begun)
	}
	for _, m := range []string{"a", "b", "a"} {
		require.GreaterOrEqual(t, took(m), 20*time.Millisecond)
	}
	require.Contains(t, post(t, s, "/api/generate", ask("b")).body, `"load_duration":21000000`)
	require.Contains(t, post(t, s, "/api/generate", ask("b")).body, `"load_duration":1000000`)
}

func TestLingers(t *testing.T) {
	s := ollamatest.New(t, &ollamatest.Options{Lingers: 2, Now: fixed, Models: models(ollamatest.Behavior{}, "a", "b")})
	post(t, s, "/api/generate", `{"model":"a"}`)
	post(t, s, "/api/generate", `{"model":"a","keep_alive":0}`)
	require.Equal(t, 1, s.Stats().Unloads)
	for range 2 {
		require.Contains(t, loaded(t, s), `"expires_at":"2026-11-23T01:02:03Z"`)
	}
	require.Equal(t, `{"models":[]}`, loaded(t, s))

	post(t, s, "/api/generate", `{"model":"a"}`)
	post(t, s, "/api/generate", `{"model":"a","keep_alive":0}`)
	post(t, s, "/api/generate", `{"model":"b"}`)
	require.NotContains(t, loaded(t, s), `"name":"a:latest"`)
}

func TestCrossings(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{Models: models(ollamatest.Behavior{Step: step}, "a", "b")})
	one := goPost(t, s, "/api/generate", ask("a"))
	step <- struct{}{}
	two := goPost(t, s, "/v1/chat/completions", `{"model":"a:latest","messages":[{"role":"user","content":"a"}]}`)
	wait(t, s, func(st ollamatest.Stats) bool { return st.Of("a").InFlight == 2 })
	require.Zero(t, s.Stats().Crossings)
	three := goPost(t, s, "/api/generate", ask("b"))
	wait(t, s, func(st ollamatest.Stats) bool { return st.Of("b").InFlight == 1 })
	require.Equal(t, 1, s.Stats().Crossings)
	close(step)
	for _, c := range []<-chan answer{one, two, three} {
		require.Equal(t, 200, (<-c).status)
	}
	of := s.Stats().Of("a") // it is loaded once more if b comes between: that is no crossing's business
	require.Equal(t, 2, of.Requests)
	require.Equal(t, 2, of.MaxInFlight)
}

func TestWedge(t *testing.T) {
	s := ollamatest.New(t, nil)
	s.Wedge(true)
	s.Wedge(true)
	chat := goPost(t, s, "/api/chat", streamed)
	embed := goPost(t, s, "/v1/embeddings", `{"model":"llama3","input":"a"}`)
	wait(t, s, func(st ollamatest.Stats) bool { return st.Admitted == 2 })
	require.Equal(t, 200, send(t, request(t, s, "GET", "/api/version", "")).status)
	select {
	case <-chat:
		require.Fail(t, "answered")
	case <-embed:
		require.Fail(t, "answered")
	default:
	}
	s.Wedge(false)
	require.Equal(t, 200, (<-chat).status)
	require.Equal(t, 200, (<-embed).status)
}

func TestMaxQueueOnOpenAI(t *testing.T) {
	step := make(chan struct{})
	s := ollamatest.New(t, &ollamatest.Options{MaxQueue: 1, Models: map[string]ollamatest.Behavior{"a": {Step: step}, "llama3": {}}})
	holder := goPost(t, s, "/api/generate", ask("a"))
	step <- struct{}{}
	var all []<-chan answer
	for range 8 {
		all = append(all, goPost(t, s, "/v1/chat/completions", openAIWhole))
	}
	wait(t, s, func(st ollamatest.Stats) bool { return st.Requests == 9 && st.InFlight == 1+2 })
	close(step)
	busy := 0
	for _, c := range all {
		if a := <-c; a.status == 503 {
			busy++
			require.Equal(t, `{"error":{"message":"server busy, please try again.  maximum pending requests exceeded","type":"api_error","param":null,"code":null}}`+"\n", a.body)
			require.Empty(t, a.header.Get("Retry-After"))
		}
	}
	require.Equal(t, 6, busy)
	require.Equal(t, 200, (<-holder).status)
}
